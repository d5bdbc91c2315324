package workload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// readFile returns a file's token as it is now; `mend` says what to do for a missing one, `stale` for one that is over.
func readFile(path, mend, stale string) (string, error) {
	// NOTE: a pipe or a device would be waited for without end.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", unreadable(path, err, mend)
	}
	defer func() { _ = file.Close() }()
	if found, err := file.Stat(); err != nil || !found.Mode().IsRegular() {
		return "", none(path+" is no file", mend)
	}
	held, err := io.ReadAll(io.LimitReader(file, longestToken+1))
	if err != nil {
		return "", unreadable(path, err, mend)
	}
	for _, character := range held {
		if character > 0x7f {
			return "", none(fmt.Sprintf("the file %s holds no token: it is not ASCII", path), "")
		}
	}
	return unlessOver(string(held), "the file "+path, "the token in "+path, stale)
}

func unreadable(path string, err error, mend string) error {
	why := err
	if found := (*fs.PathError)(nil); errors.As(err, &found) {
		why = found.Err
	}
	return none(fmt.Sprintf("the token file %s cannot be read: %v", path, why), mend)
}

// readVariable returns a variable's token; `mend` says what to do where there is none, `stale` for one that is over.
func readVariable(name, mend, stale string) (string, error) {
	held, isSet := os.LookupEnv(name)
	if strings.TrimSpace(held) == "" {
		told := "not set"
		if isSet {
			told = "empty"
		}
		return "", none(fmt.Sprintf("the variable %s is %s", name, told), mend)
	}
	return unlessOver(held, "the variable "+name, "the token in "+name, stale)
}

// unlessOver returns the token; refuses one whose own `exp` has passed, which the gateway would refuse with fewer words.
func unlessOver(held, from, what, stale string) (string, error) {
	token, err := checked(held, from, false)
	if err != nil {
		return "", err
	}
	if end, isKnown := unverifiedEnd(token.Reveal()); isKnown && !time.Now().Before(end) {
		told := none(fmt.Sprintf("%s was good until %s, which is over", what, end.UTC().Format(time.RFC3339)), stale)
		told.Reason = expired
		return "", told
	}
	return token.Reveal(), nil
}
