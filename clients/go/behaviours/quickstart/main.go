package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"remit.dev/go/remit"
)

func main() {
	// For a gateway whose certificate is of a private authority, add remit.WithCAFile("ca.pem").
	gateway, err := remit.Dial("gateway.example.com:8443", remit.WithCertificateFiles("agent.pem", "agent.key"))
	if err != nil {
		log.Fatal(err)
	}
	defer gateway.Close()
	request := remit.TaskRequest{
		Purpose:      "summarise Q3",
		SubjectToken: remit.Token(os.Getenv("TOKEN")), // the OIDC token of the user the agent works for
		Allow:        remit.Capability{Name: "s3.read_prefix", Parameters: map[string]string{"bucket": "reports", "prefix": "2026/q3/"}},
	}
	err = gateway.WithTask(context.Background(), request, func(ctx context.Context, task *remit.Task) error {
		settings, err := config.LoadDefaultConfig(ctx,
			config.WithCredentialsProvider(task.CredentialsProvider()), config.WithDefaultRegion(task.Region()))
		if err != nil {
			return err
		}
		report, err := s3.NewFromConfig(settings).GetObject(ctx, &s3.GetObjectInput{
			Bucket: aws.String("reports"), Key: aws.String("2026/q3/summary.md"),
		})
		if err != nil {
			return err
		}
		defer report.Body.Close()
		_, err = io.Copy(os.Stdout, report.Body)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
