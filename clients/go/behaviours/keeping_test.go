package behaviours

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"remit.dev/go/remit"
)

// fixed gives the same credentials again and again.
func fixed(found remit.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: found.AccessKeyID, SecretAccessKey: found.SecretAccessKey.Reveal(), SessionToken: found.SessionToken.Reveal(),
		}, nil
	})
}

// nearTheEnd returns when credentials of this life are renewed: in their last third.
func nearTheEnd(found remit.Credentials, from time.Time) time.Time {
	return found.ExpireTime.Add(-found.ExpireTime.Sub(from) / 4)
}

func refresh(t *testing.T, l *live) {
	from := time.Now()
	task := started(t, l.copilot(t, l.Short), l.reading())
	first, err := task.Credentials(t.Context())
	succeeded(t, err)
	wait(first.ExpireTime.Add(-time.Second)) // all of them wait for the next by then
	keys := make([]string, 8)
	var asking sync.WaitGroup
	for i := range keys {
		asking.Go(func() {
			found, err := task.Credentials(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys[i] = found.AccessKeyID
		})
	}
	asking.Wait()

	_, err = read(t.Context(), l.s3(task.CredentialsProvider()), summary)

	succeeded(t, err)
	equal(t, "renewed", keys[0] != first.AccessKeyID, true)
	for _, key := range keys {
		equal(t, "key", key, keys[0])
	}
	equal(t, "sets of credentials", len(task.Grant().Issuances), 2)
	equal(t, "later", task.Grant().ExpireTime.After(from), true)
}

func outage(t *testing.T, l *live) {
	from := time.Now()
	way := relayTo(t, l.Short)
	task := started(t, l.copilot(t, way.address), l.reading())
	first, err := task.Credentials(t.Context())
	succeeded(t, err)
	way.cut()
	wait(nearTheEnd(first, from))

	kept, err := task.Credentials(t.Context())
	succeeded(t, err)
	_, works := read(t.Context(), l.s3(fixed(kept)), summary)
	wait(first.ExpireTime)
	_, told := task.Credentials(t.Context())

	equal(t, "key", kept.AccessKeyID, first.AccessKeyID)
	succeeded(t, works)
	equal(t, "reason", as[*remit.Unavailable](t, told).Reason, "UNAVAILABLE")
}

func duration(t *testing.T, l *live) {
	request := l.reading()
	request.Duration = 15 * time.Second
	task := started(t, l.copilot(t, l.Mtls), request)
	provider := task.CredentialsProvider()
	first, err := provider.Retrieve(t.Context())
	succeeded(t, err)
	wait(task.Grant().ExpireTime.Add(-2 * time.Second))
	last, err := provider.Retrieve(t.Context())
	succeeded(t, err)
	wait(task.Grant().ExpireTime)

	_, told := provider.Retrieve(t.Context())

	equal(t, "not renewed", last.AccessKeyID, first.AccessKeyID)
	over := as[*remit.TaskOver](t, told)
	equal(t, "reason", over.Reason, "GRANT_NOT_LIVE")
	equal(t, "says so", strings.Contains(over.Message, "its time is over"), true)
}

func tokenSource(t *testing.T, l *live) {
	var mu sync.Mutex
	asked := map[string]int{}
	counted := func(who string) remit.TokenSource {
		return remit.TokenFunc(func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[who]++
			return l.Tokens[who], nil
		})
	}
	gateway := opened(t)(remit.Dial(l.Bearer, remit.WithCAFile(l.CAFile), remit.WithBearer(counted("agent"))))
	request := l.reading()
	request.SubjectToken, request.Lease = counted("reporter"), remit.NoLease

	_, err := gateway.Preview(t.Context(), request)
	succeeded(t, err)
	task := started(t, gateway, request)
	_, err = read(t.Context(), l.s3(task.CredentialsProvider()), summary)

	succeeded(t, err)
	mu.Lock()
	defer mu.Unlock()
	equal(t, "the user's", asked["reporter"], 2)
	equal(t, "the agent's, also for the stream", asked["agent"] >= 2, true)
}

func certificates(t *testing.T, l *live) {
	files := copied(t, l.Agents["copilot"])
	gateway := opened(t)(remit.Dial(l.Mtls, remit.WithCAFile(l.CAFile), remit.WithCertificateFiles(files.Certificate, files.Key)))
	before := started(t, gateway, l.reading())
	replace(t, files, l.Agents["crawler"])
	request := l.reading()
	request.SubjectToken = remit.Token(l.Tokens["crawler"])

	after := started(t, gateway, request)

	equal(t, "before", before.Grant().Actor, "spiffe://remit.sandbox/agent/copilot")
	equal(t, "after", after.Grant().Actor, "spiffe://remit.sandbox/agent/crawler")
}
