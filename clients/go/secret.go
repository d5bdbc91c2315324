package remit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "***"

// Secret is a value that no printing and no logging shows; Reveal gives it.
//
// It is kept in a closure, because package fmt prints the strings of unexported fields whatever methods they have.
type Secret struct{ value func() string }

func secretOf(value string) Secret { return Secret{func() string { return value }} }

// Reveal returns the value: call it where the value is used.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return s.value()
}

// String returns stars.
func (Secret) String() string { return redacted }

// GoString returns stars.
func (Secret) GoString() string { return redacted }

// Format writes stars for every verb.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue logs stars.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes stars, as JSON and XML too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// TokenSource returns a token; it is asked again at every request, so that a long task may outlive one token.
type TokenSource func(context.Context) (string, error)

// Token returns a source of always the same token.
func Token(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// String returns stars.
func (TokenSource) String() string { return redacted }

// GoString returns stars.
func (TokenSource) GoString() string { return redacted }

// Format writes stars for every verb.
func (TokenSource) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue logs stars.
func (TokenSource) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes stars, as JSON and XML too.
func (TokenSource) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// read returns the token as it is now, without white space around it; an InvalidRequest for what no token looks like, without
// repeating it. What the caller's function returns as an error passes through.
func (source TokenSource) read(ctx context.Context, field string) (Secret, error) {
	if source == nil {
		return Secret{}, errors.New("remit: " + field + " is missing: give remit.Token(...), or a function that returns a fresh one")
	}
	found, err := source(ctx)
	if err != nil {
		return Secret{}, err
	}
	token := strings.TrimSpace(found)
	for _, character := range token {
		// NOTE: gRPC repeats a header which it refuses in its own error, so it never gets that far.
		if character < '!' || character > '~' {
			return Secret{}, invalidField(field, "must be ASCII without spaces or control characters")
		}
	}
	return secretOf(token), nil
}
