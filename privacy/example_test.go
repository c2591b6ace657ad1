package privacy_test

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/privacy"
)

// A policy redacts everything, but for e-mail addresses, which can be turned back.
func Example() {
	keys, err := privacy.NewKeySet([]byte("a key of 32 bytes, kept elsewhere"[:privacy.KeySize]), nil)
	if err != nil {
		panic(err)
	}
	p, err := privacy.New(&privacy.Policy{
		Default: privacy.Redact,
		Modes:   map[privacy.Detector]privacy.Mode{privacy.Email: privacy.Tokenise},
	}, keys)
	if err != nil {
		panic(err)
	}
	doc := map[string]any{
		"text":     "card 4111 1111 1111 1111, call +1 415 555 2671",
		"author":   "Ann",
		"api_key":  "k1",
		"reply_to": "ann@example.com",
	}
	stored, findings, err := p.Protect(doc)
	if err != nil {
		panic(err)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	fmt.Println(stored.(map[string]any)["text"])
	back, err := p.Reveal(stored)
	if err != nil {
		panic(err)
	}
	fmt.Println(back.(map[string]any)["reply_to"])
	// Output:
	// redact: field at "api_key" [0, 2)
	// tokenise: email at "reply_to" [0, 15)
	// redact: card at "text" [5, 24)
	// redact: phone at "text" [31, 46)
	// card [redacted:card], call [redacted:phone]
	// ann@example.com
}

// A rule refuses documents with secrets in one place.
func ExampleBlockedError() {
	p, err := privacy.New(&privacy.Policy{
		Rules: []privacy.Rule{{Path: "prompt", Detectors: []privacy.Detector{privacy.AWS}, Mode: privacy.Block}},
	}, nil)
	if err != nil {
		panic(err)
	}
	_, _, err = p.Protect(map[string]any{"prompt": "use AKIAIOSFODNN7EXAMPLE"})
	var blocked *privacy.BlockedError
	if errors.As(err, &blocked) {
		fmt.Println(blocked.Finding.Detector, blocked.Finding.Path)
	}
	// Output: aws prompt
}

// Scan looks through what is stored already.
func ExampleProtector_Scan() {
	p, err := privacy.New(&privacy.Policy{Default: privacy.Redact}, nil)
	if err != nil {
		panic(err)
	}
	stored := func(yield func(privacy.Entry, error) bool) {
		_ = yield(privacy.Entry{Name: "agent:a1/notes", Value: "mail ann@example.com"}, nil) &&
			yield(privacy.Entry{Name: "agent:a1/plan", Value: "[redacted:email] is told"}, nil)
	}
	for report, err := range p.Scan(stored) {
		fmt.Println(report.Name, report.Findings, err)
	}
	// Output: agent:a1/notes [redact: email at "" [5, 20)] <nil>
}
