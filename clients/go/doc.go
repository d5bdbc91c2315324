// Package remit gives a Go program AWS credentials for one task of one AI agent: decided by policy, provably no wider than the
// task, dead when the task is over.
//
//	gateway, err := remit.Dial("gateway.example.com:8443", remit.WithCertificateFiles("agent.pem", "agent.key"))
//	...
//	err = gateway.WithTask(ctx, remit.TaskRequest{
//		Purpose:      "summarise Q3",
//		SubjectToken: remit.Token(token),
//		Allow:        remit.Capability{Name: "s3.read_prefix", Parameters: map[string]string{"bucket": "reports", "prefix": "2026/q3/"}},
//	}, func(ctx context.Context, task *remit.Task) error {
//		cfg, err := config.LoadDefaultConfig(ctx,
//			config.WithCredentialsProvider(task.CredentialsProvider()), config.WithDefaultRegion(task.Region()))
//		...
//	})
//
// Errors of the gateway are typed ([Refused], [ApprovalPending], [TaskOver], ...): reach them with [errors.As]; each is an [Error]
// with a stable reason and what to do about it.
//
// No value of this package prints a token or a key, whatever the verb or the logger. The generated messages of the package v1 do:
// do not log those.
package remit

// Version is this client's, as it tells the gateway.
const Version = "0.1.0"
