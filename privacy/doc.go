// Package privacy finds personal data and credentials in documents and protects them before
// they are stored.
//
// A Protector carries out a Policy: which detectors look, and what becomes of a finding, by
// detector and by the path of the field. Protect gives the protected document with a list
// of findings; Reveal gives back what was tokenised or encrypted; Scan looks through what is
// stored already. docs/privacy.md lists the detectors, and what they do not find.
//
//	p, err := privacy.New(&privacy.Policy{
//		Default: privacy.Redact,
//		Modes:   map[privacy.Detector]privacy.Mode{privacy.Email: privacy.Hash},
//	}, keys)
//	stored, findings, err := p.Protect(doc)
//
// A document is nil, a bool, an int64, uint64 or float64, a string, a []byte, a time.Time, a
// []any or a map[string]any of such values; anything else is a *TypeError.
//
// The package is pure. It must not know of stores, scopes or classes: whoever writes chooses
// the Protector by these. Of a store it takes its Keys.
//
// Invariants:
//
//   - P1. What a finding, an error or a panic says never holds a value that was found; nor
//     do the paths in them, in which names of fields are redacted.
//   - P2. Protect(Protect(d)) is Protect(d), without findings of what is protected: the
//     marks that it writes are skipped, and a text is settled only when the marks in it have
//     made nothing else come to light, at most maxPasses times.
//   - P3. Whatever the text, looking takes time in proportion to its length: a matcher is
//     bounded by a constant, or begins only where a run of its bytes begins, or remembers
//     how far an earlier one has looked.
//   - P4. Candidates do not depend on each other: the set of them is, for each detector and
//     each place where one can begin, the longest match there. The tests say so again,
//     naively, with regular expressions.
//   - P5. A text without candidates costs no allocation, and Protect returns it as it is.
//   - P6. Nobody's document is changed: what must be, is copied.
//
// Reading order: detector.go, policy.go, protect.go, text.go, mark.go, keys.go; then find.go
// and the matchers: number.go, phone.go, iban.go, address.go, secret.go, assign.go, name.go.
package privacy
