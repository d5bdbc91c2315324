package workload

import (
	"context"
	"fmt"

	"remit.dev/go/remit"
)

const (
	// GitLabVariable is where the token of a GitLab job is, unless its .gitlab-ci.yml says otherwise.
	GitLabVariable = "REMIT_ID_TOKEN"
	// KubernetesFile is where the pod's projected service account token is, unless its manifest says otherwise.
	KubernetesFile = "/var/run/secrets/remit/token"

	kubelet = "mount a projected serviceAccountToken with the gateway's audience (docs/workload-identity/kubernetes.md): the " +
		"token that every pod has is for the API server"
	stuck = "whoever writes the file has stopped to renew it; if it is new, the clock of this machine is wrong"
)

// GitHub returns the source of this GitHub Actions job's token. Every call to the gateway gets a token of its own: where its issuer
// entry says `single_use`, a token opens one task. The job needs the permission `id-token: write`.
func GitHub(audience string) *Source {
	return &Source{platform: "github", parameters: "audience=" + audience, fetch: func(ctx context.Context) (string, error) {
		token, err := asked(ctx, "github", func(ctx context.Context) (string, error) { return askGitHub(ctx, audience) })
		return token.Reveal(), err
	}}
}

// GitHubReused returns the same, but keeps each token until near its end, for gateways that do not say `single_use`.
func GitHubReused(audience string) *Source {
	return Kept("github", "audience="+audience, func(ctx context.Context) (string, error) { return askGitHub(ctx, audience) })
}

// GitLab returns the source of this GitLab job's token, which `id_tokens` of its .gitlab-ci.yml put into a variable
// (GitLabVariable). GitLab makes it once, when the job starts: it cannot be renewed, and ends with the job's timeout.
func GitLab(name string) *Source {
	return variable("gitlab", name,
		fmt.Sprintf("add `id_tokens: {%s: {aud: AUDIENCE}}` to the job in .gitlab-ci.yml", name),
		"GitLab gives a job its token once: start the job again, or give it a longer timeout")
}

// Kubernetes returns the source of this pod's projected service account token (KubernetesFile), which the kubelet renews; read at
// each call.
func Kubernetes(path string) *Source {
	return inFile("kubernetes", path, kubelet, stuck)
}

// Gitpod returns the source of this Gitpod or Ona environment's token, from `ona`, `gitpod` or `gp` on the PATH.
func Gitpod(audience string) *Source {
	return Kept("gitpod", "audience="+audience, func(ctx context.Context) (string, error) { return askGitpod(ctx, audience) })
}

// File returns the source of a token in a file that something else keeps fresh; read at each call.
func File(path string) *Source {
	return inFile("file", path, "have the token written there, readable here", stuck)
}

// Env returns the source of a token in a variable of this process; read at each call.
func Env(name string) *Source {
	return variable("env", name, "start this process with the token in "+name, "whoever starts this process has to give it a new one")
}

func inFile(platform, path, mend, stale string) *Source {
	return &Source{platform: platform, parameters: "path=" + path, fetch: func(context.Context) (string, error) {
		return readFile(path, mend, stale)
	}}
}

func variable(platform, name, mend, stale string) *Source {
	return &Source{platform: platform, parameters: "name=" + name, fetch: func(context.Context) (string, error) {
		return readVariable(name, mend, stale)
	}}
}

var _ remit.TokenSource = (*Source)(nil)
