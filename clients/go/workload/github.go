package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	gitHubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	gitHubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	gitHubName  = "GitHub's token endpoint"
	permission  = "give the job `permissions: id-token: write` (with `contents: read` for the checkout), in a workflow that is not " +
		"started by a pull request from a fork: GitHub gives those no tokens"

	largestAnswer = 64 * 1024
	mostAttempts  = 3
	firstDelay    = 300 * time.Millisecond
	webTimeout    = 6 * time.Second
)

// askGitHub asks the runner's endpoint for a token with this audience.
func askGitHub(ctx context.Context, audience string) (string, error) {
	address, secret := os.Getenv(gitHubURL), os.Getenv(gitHubToken)
	if address == "" || secret == "" {
		told := gitHubURL + " is not set"
		if address != "" {
			told = gitHubToken + " is not set"
		}
		if os.Getenv("GITHUB_ACTIONS") == "" {
			return "", none("this is no job of GitHub Actions: "+told, "run it in a workflow")
		}
		return "", none("GitHub gives this job no tokens: "+told, permission)
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	status, body, err := askWeb(ctx, address+separator+"audience="+url.QueryEscape(audience), secret)
	if err != nil {
		return "", err
	}
	var answer struct {
		Value string `json:"value"`
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "", none(fmt.Sprintf("%s answered %d", gitHubName, status), permission)
	case status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Value == "":
		return "", none(fmt.Sprintf("%s answered %d without a token", gitHubName, status), "look at githubstatus.com, and run the job again")
	}
	return answer.Value, nil
}

// askWeb asks by GET, again when nobody was there or the server failed: https unless it stays on this machine, no redirect followed,
// no large answer read. Its errors do not repeat the address, which may hold parts that are nobody's business.
func askWeb(ctx context.Context, address, secret string) (int, []byte, error) {
	parts, err := url.Parse(address)
	if err != nil || (parts.Scheme != "https" && (parts.Scheme != "http" || !isLoopback(parts.Hostname()))) {
		return 0, nil, none(gitHubName+" has no https address", "it is set by the platform: do not set it by hand")
	}
	way := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if isLoopback(parts.Hostname()) {
		way.Proxy = nil
	}
	client := &http.Client{Transport: way, Timeout: webTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the header would go along to wherever it leads
	}}
	for attempt := 0; ; attempt++ {
		status, body, err := askOnce(ctx, client, address, secret)
		isLast := attempt == mostAttempts-1
		if err == nil && (status < http.StatusInternalServerError || isLast) {
			return status, body, nil
		}
		if isLast || ctx.Err() != nil {
			return 0, nil, none(gitHubName+" cannot be reached: "+causeOf(err),
				"look at the network and the proxy settings of this machine, and try again")
		}
		select {
		case <-time.After(firstDelay << attempt):
		case <-ctx.Done():
		}
	}
}

func askOnce(ctx context.Context, client *http.Client, address, secret string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "bearer "+secret)
	request.Header.Set("Accept", "application/json; api-version=2.0")
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	if err == nil && len(body) > largestAnswer {
		err = errors.New("the answer is too large")
	}
	return answer.StatusCode, body, err
}

// isLoopback says whether a host is this machine, by its literal address only.
func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}

// causeOf returns why, without the address.
func causeOf(err error) string {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	return Harmless(fmt.Sprint(err))
}
