// Sensitive data: personal data and credentials are found on their way into the store, and
// redacted, hashed, tokenised, encrypted or refused there.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"regexp"

	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// rules say what becomes of what: in scopes of users strictly, of what comes from outside
// wherever it goes. Everything else is as it was.
var rules = []state.Privacy{
	{Scopes: "user:*", Policy: privacy.Policy{
		Default: privacy.Redact,
		Modes: map[privacy.Detector]privacy.Mode{
			privacy.Email: privacy.Tokenise, // can be turned back by who may
			privacy.Phone: privacy.Hash,     // equal numbers stay equal, and nothing else is known of them
			privacy.Card:  privacy.Block,    // is never stored
		},
		Rules: []privacy.Rule{{Path: "diagnosis", Mode: privacy.Encrypt}}, // whatever it says
	}},
	{Scopes: "**", Classes: []state.Class{state.External}, Policy: privacy.Policy{Default: privacy.Redact}},
}

func run(ctx context.Context) error {
	store, err := state.OpenMemory(&state.Options{Privacy: rules})
	if err != nil {
		return err
	}
	defer store.Close()
	user := store.Scope(scope.User("ann"))

	err = user.Set(ctx, "profile", map[string]any{
		"name":      "Ann",
		"contact":   "ann@example.org or +41 44 668 18 00",
		"diagnosis": "a cold",
		"apiKey":    "k-77121", // known by the name of its field
		"host":      "reached from 192.168.17.23",
	})
	if err != nil {
		return err
	}
	profile, err := state.Get[map[string]string](ctx, user, "profile")
	if err != nil {
		return err
	}
	for _, field := range []string{"name", "contact", "diagnosis", "apiKey", "host"} {
		fmt.Println("stored:", field, "=", shorten(profile[field]))
	}
	whole, err := user.Reveal(ctx, "profile") // with access control it takes an admin, and is recorded
	if err != nil {
		return err
	}
	fmt.Println("revealed:", shorten(fmt.Sprint(whole)))

	err = user.Set(ctx, "payment", "please charge 4111 1111 1111 1111")
	fmt.Println("blocked:", errors.Is(err, privacy.ErrBlocked), "-", err)

	// Input of others, into any scope: the class says that it is.
	agent := store.Scope(scope.Agent("mail"))
	if err := agent.Set(ctx, "inbox/1", "my password=hunter2!", state.WithClass(state.External)); err != nil {
		return err
	}
	inbox, err := agent.Get(ctx, "inbox/1")
	if err != nil {
		return err
	}
	fmt.Println("stored:", inbox)

	// What was stored before there were rules, or where none are.
	if err := agent.Set(ctx, "note", "ask bob@example.org"); err != nil {
		return err
	}
	for report, err := range agent.ScanPrivacy(ctx, nil) {
		if err != nil {
			return err
		}
		for _, f := range report.Findings {
			fmt.Println("found in", report.Name+":", f.Detector)
		}
	}
	m := store.Metrics()
	fmt.Println("findings:", m.Findings, "blocked:", m.Blocked)
	return nil
}

var payload = regexp.MustCompile(`(\[\w+:[\w-]+:)[0-9a-f]+\]`)

// shorten leaves out the long middle of what stands for a value.
func shorten(s string) string { return payload.ReplaceAllString(s, "$1…]") }
