package remit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
)

const redacted = "***"

// Secret is a value that no printing and no logging shows; Reveal gives it.
//
// It is kept in a closure, because package fmt prints the strings of unexported fields whatever methods they have.
type Secret struct{ value func() string }

// SecretOf returns a secret of this value.
func SecretOf(value string) Secret { return Secret{func() string { return value }} }

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

// TokenSource gives a token; it is asked again at every request, so that a long task may outlive one token.
//
// Where one source is given as the agent's bearer token and as a request's subject token, it is asked once for both.
type TokenSource interface {
	Token(context.Context) (string, error)
}

// TokenFunc is a function that gives a token.
type TokenFunc func(context.Context) (string, error)

// Token asks the function.
func (ask TokenFunc) Token(ctx context.Context) (string, error) { return ask(ctx) }

// String returns stars.
func (TokenFunc) String() string { return redacted }

// GoString returns stars.
func (TokenFunc) GoString() string { return redacted }

// Format writes stars for every verb.
func (TokenFunc) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue logs stars.
func (TokenFunc) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes stars, as JSON and XML too.
func (TokenFunc) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Token returns a source of always the same token.
func Token(token string) TokenSource { return &fixedToken{SecretOf(token)} }

type fixedToken struct{ Secret }

// Token returns the token.
func (f *fixedToken) Token(context.Context) (string, error) { return f.Reveal(), nil }

// tokenOf returns the token as it is now, without white space around it; an InvalidRequest for what no token looks like, without
// repeating it. What the caller's source returns as an error passes through.
func tokenOf(ctx context.Context, source TokenSource, field string) (Secret, error) {
	if source == nil {
		return Secret{}, errors.New("remit: the " + field + " is missing: give remit.Token(...), or remit.TokenFunc(...) for fresh ones")
	}
	found, err := source.Token(ctx)
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
	return SecretOf(token), nil
}

// isSame says whether two sources are one, by their own word or because they are.
func isSame(one, other TokenSource) bool {
	if known, ok := one.(interface{ IsSame(TokenSource) bool }); ok {
		return known.IsSame(other)
	}
	if one == nil || other == nil || !reflect.TypeOf(one).Comparable() || !reflect.TypeOf(other).Comparable() {
		return false
	}
	return one == other
}
