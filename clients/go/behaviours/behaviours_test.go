// Package behaviours proves the table of tests/clients/behaviours.json for the Go client, against the live sandbox:
// tests/e2e/test_go_client.py starts it and runs these tests.
package behaviours

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// rows are the behaviours that are proven here, by the ids of the table.
var rows = map[string]func(*testing.T, *live){
	"issue":           issue,
	"narrow":          narrow,
	"refusal":         refusal,
	"invalid":         invalid,
	"unauthenticated": unauthenticated,
	"unreachable":     unreachable,
	"refresh":         refresh,
	"outage":          outage,
	"duration":        duration,
	"end":             end,
	"end_on_error":    endOnError,
	"revoke":          revoke,
	"lease":           lease,
	"approval":        approval,
	"token_source":    tokenSource,
	"certificates":    certificates,
	"secrets":         secrets,
	"attenuate":       attenuate,
	"delegate":        delegate,
}

func TestMain(m *testing.M) {
	if os.Getenv(agentOfLease) != "" {
		os.Exit(beKilled())
	}
	if os.Getenv("REMIT_LIVE") == "" {
		fmt.Println("skipped: there is no sandbox (run tests/e2e/test_go_client.py)")
		os.Exit(0)
	}
	code := m.Run()
	web.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println("goroutines were left behind:", err)
		code = 1
	}
	os.Exit(code)
}

func TestBehaviour(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	for id, proof := range rows {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			proof(t, sandbox)
		})
	}
}

func TestEveryRowOfTheTableIsProven(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	content, err := os.ReadFile(sandbox.Table)
	succeeded(t, err)
	var table []struct {
		ID string `json:"id"`
	}
	succeeded(t, json.Unmarshal(content, &table))

	for _, row := range table {
		if _, isProven := rows[row.ID]; !isProven {
			t.Errorf("no proof of %s", row.ID)
		}
	}
	for id := range rows {
		if !slices.ContainsFunc(table, func(row struct {
			ID string `json:"id"`
		}) bool {
			return row.ID == id
		}) {
			t.Errorf("%s is not in the table", id)
		}
	}
}

// beKilled is the agent of the row lease, in a process of its own: it tells its task and works until it is killed.
func beKilled() int {
	sandbox, err := readLive()
	if err != nil {
		return 1
	}
	gateway, err := sandbox.dial("copilot", sandbox.Mtls)
	if err != nil {
		return 1
	}
	request := sandbox.reading()
	request.Lease = shortestLease
	task, err := gateway.StartTask(context.Background(), request)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(task.ID())
	<-task.Done()
	return 1
}
