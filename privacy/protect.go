package privacy

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"
)

// MaxDepth is how deep documents may nest.
const MaxDepth = 1000

// Protector carries out a Policy. It is safe for concurrent use.
type Protector struct {
	modes modes
	rules []rule
	keys  Keys
}

// New returns a Protector for the policy, of which it keeps nothing. Keys are needed by the
// modes Hash, Tokenise and Encrypt, and may be nil without them. Errors match
// ErrInvalidPolicy, and list every problem, or are ErrNoKeys.
func New(policy *Policy, keys Keys) (*Protector, error) {
	m, rules, err := policy.compile()
	if err != nil {
		return nil, err
	}
	keyed := func(mode Mode) bool { return mode >= Hash && mode <= Encrypt }
	needs := slices.ContainsFunc(m.of[:], keyed) || slices.ContainsFunc(rules, func(r rule) bool { return keyed(r.mode) })
	if needs && keys == nil {
		return nil, ErrNoKeys
	}
	return &Protector{modes: m, rules: rules, keys: keys}, nil
}

// With returns a Protector for the same policy with other keys, as for another
// scope.
func (p *Protector) With(keys Keys) *Protector {
	return &Protector{modes: p.modes, rules: p.rules, keys: keys}
}

// Protect returns the document as it may be stored, and what was found in it, by path and
// offset. The document is not changed: where nothing is replaced it is returned itself, else
// what is not replaced is shared with it. What is protected already stays as it is. A text in
// a []byte is looked into if it is valid UTF-8. Numbers are not looked into: they are
// protected where the name of a field, or a rule, covers them, and become marks, as times do.
//
// With an error nothing may be stored: *BlockedError, with all the findings; *TypeError,
// *KeyError, ErrTooDeep.
func (p *Protector) Protect(doc any) (any, []Finding, error) {
	return p.walk(doc, p.keys, true)
}

// Find returns what Protect would find, and changes nothing. What the policy blocks is a
// finding like others. Errors: *TypeError, ErrTooDeep.
func (p *Protector) Find(doc any) ([]Finding, error) {
	_, findings, err := p.walk(doc, nil, false)
	return findings, err
}

func (p *Protector) walk(doc any, keys Keys, replace bool) (any, []Finding, error) {
	w := walker{rules: p.rules, keys: keys, replace: replace}
	m := p.modes
	w.enter(&m)
	out, _, err := w.value(doc, &m)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(w.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Start, b.Start))
	})
	if replace {
		for _, f := range w.findings {
			if f.Mode == Block {
				return nil, w.findings, &BlockedError{Finding: f}
			}
		}
	}
	return out, w.findings, nil
}

// protect returns what a leaf becomes, and whether it changed.
func (w *walker) protect(leaf any, m *modes) (any, bool, error) {
	switch v := leaf.(type) {
	case string:
		out, err := w.protectText(v, m)
		if err != nil || out == nil {
			return leaf, false, err
		}
		return string(out), true, nil
	case []byte:
		if m.cover.rank() == 0 && utf8.Valid(v) {
			out, err := w.protectText(string(v), m)
			if err != nil || out == nil {
				return leaf, false, err
			}
			return out, true, nil
		}
	case bool:
		return leaf, false, nil
	}
	if m.cover == Off {
		return leaf, false, nil
	}
	w.add(Finding{Detector: Field, Mode: m.cover})
	if !w.replace || !m.cover.replaces() {
		return leaf, false, nil
	}
	out, err := w.mark(nil, m.cover, Field, encode(leaf))
	if err != nil {
		return leaf, false, err
	}
	return string(out), true, nil
}

// protectText returns the text with marks in it, or nil if it stays as it is.
func (w *walker) protectText(s string, m *modes) ([]byte, error) {
	found := m.findings(s)
	replaces := w.replace
	for _, c := range found {
		mode := m.mode(c.detector)
		w.add(Finding{Detector: c.detector, Mode: mode, Start: c.start, End: c.end})
		replaces = replaces && mode != Block
	}
	if !replaces {
		return nil, nil
	}
	var out []byte
	var err error
	done := 0
	for _, c := range found {
		if mode := m.mode(c.detector); mode.replaces() {
			out = append(out, s[done:c.start]...)
			if out, err = w.mark(out, mode, c.detector, encode(s[c.start:c.end])); err != nil {
				return nil, err
			}
			done = c.end
		}
	}
	if done > 0 {
		out = append(out, s[done:]...)
	}
	return out, nil
}

// mark appends the mark for a value.
func (w *walker) mark(dst []byte, mode Mode, d Detector, value []byte) ([]byte, error) {
	var payload []byte
	var err error
	switch {
	case mode != Redact && w.keys == nil: // of With
		err = ErrNoKeys
	case mode == Hash:
		payload, err = w.keys.Hash(d, value)
	case mode == Tokenise:
		payload, err = w.keys.Tokenise(d, value)
	case mode == Encrypt:
		payload, err = w.keys.Encrypt(d, value)
	}
	if err == nil && mode != Redact && len(payload) < minPayload/2 {
		err = fmt.Errorf("%w: a payload of %d bytes", ErrInvalidKey, len(payload))
	}
	if err != nil {
		return nil, &KeyError{Path: pathText(w.path), Mode: mode, Err: err}
	}
	return appendMark(dst, mode, d, payload), nil
}
