// Sensitive data: personal data and credentials are found on their way into the store, and
// redacted, hashed, tokenised, encrypted or refused there; and what must be readable as it was, until it must
// be forgotten, is of class Sensitive.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"regexp"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/privacy"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	ctx := context.Background()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
	if err := sealed(ctx); err != nil {
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

// sealed keeps secrets that are read as they were written, under a key of their scope, until that is destroyed.
func sealed(ctx context.Context) error {
	key := make([]byte, crypto.KeyLen) // of a store on disk: crypto.KeyFile and others, see examples/encrypted
	rand.Read(key)                     // never fails
	store, err := state.OpenMemory(&state.Options{
		Engine:   &state.EngineOptions{Encryption: &lsm.Encryption{Key: crypto.KeyBytes(key)}},
		Timeline: &state.TimelineOptions{RecordValues: true},
	})
	if err != nil {
		return err
	}
	defer store.Close()
	user := store.Scope(scope.User("ann"))
	if err := user.Set(ctx, "address", "1 Main Street", state.WithClass(state.Sensitive)); err != nil {
		return err
	}
	if err := user.Set(ctx, "theme", "dark"); err != nil {
		return err
	}
	address, err := user.Get(ctx, "address")
	if err != nil {
		return err
	}
	fmt.Println("sealed and read:", address)

	// Events tell that it was written, not what.
	for _, key := range []string{"address", "theme"} {
		for event, err := range user.History(ctx, key) {
			if err != nil {
				return err
			}
			fmt.Println("event:", event.Op, event.Key, "with its value:", event.Values != nil && event.Values.HasNew)
		}
	}

	// Forget: one small commit, whatever the scope holds. What was not sealed stays.
	report, err := user.Shred(ctx)
	if err != nil {
		return err
	}
	fmt.Println("copies that could not be reached:", len(report.OutOfReach))
	for e, err := range user.All(ctx, "") {
		if err != nil && !errors.Is(err, state.ErrShredded) {
			return err
		}
		fmt.Println("after Shred:", e.Key, e.Value, "shredded:", err != nil)
	}
	return nil
}

var payload = regexp.MustCompile(`(\[\w+:[\w-]+:)[0-9a-f]+\]`)

// shorten leaves out the long middle of what stands for a value.
func shorten(s string) string { return payload.ReplaceAllString(s, "$1…]") }
