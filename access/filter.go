package access

import (
	"strings"

	"github.com/loamdb/loam/scope"
)

// Coverage says how many keys of a range somebody may see.
type Coverage uint8

// Coverages.
const (
	NoKeys   Coverage = iota // none: the range can be left out
	SomeKeys                 // perhaps not all: each must be asked for
	AllKeys                  // all: none need be asked for
)

// String returns the coverage's name.
func (c Coverage) String() string { return [...]string{"none", "some", "all"}[c] }

// Filter says which keys of one scope a principal may list, scan or watch. It is as of the
// time when it was made and never changes; Keeper.Fresh says whether a new one would be
// the same. It may be used by many goroutines.
type Filter struct {
	policy   *Policy
	needs    Verbs
	rules    bucket // those that are about the scope, and have not expired
	list     []*compiled
	whole    Coverage // of every key
	decision Decision
	until    int64 // when the first of the rules expires, 0 if none will
}

// Filter returns which keys of the scope the request, of OpList, OpScan or OpWatch, yields.
// The Key is a prefix; where no key that begins with it is allowed the error is *AccessError. The
// filter is never nil: with the error it allows nothing below the prefix.
func (p *Policy) Filter(r Request) (*Filter, error) {
	f := &Filter{policy: p, needs: r.Op.Needs()}
	j := judge{needs: f.needs, now: p.now}
	if !r.Op.Whole() && r.Scope.Kind() != scope.AnyKind {
		for _, s := range p.subjects[r.Principal] {
			f.collect(&j, &s.everywhere, r.Scope)
			f.collect(&j, s.kinds[r.Scope.Kind()], r.Scope)
			f.collect(&j, s.scopes[r.Scope], r.Scope)
		}
	}
	f.whole = f.cover("")
	f.decision = f.decide(r.Key)
	f.decision.Version = p.Version()
	if !f.decision.Allowed {
		return f, r.denied()
	}
	return f, nil
}

func (f *Filter) collect(j *judge, b *bucket, s scope.Scope) {
	if b == nil {
		return
	}
	add := func(r *compiled) {
		if r.verbs&f.needs == 0 || !r.scopes.Match(s) || j.expired(r) {
			return
		}
		f.rules.add(r)
		f.list = append(f.list, r)
		if r.timed && (f.until == 0 || r.expires < f.until) {
			f.until = r.expires
		}
	}
	for _, rules := range b.keys {
		for _, r := range rules {
			add(r)
		}
	}
	for _, r := range b.patterns {
		add(r)
	}
}

// Allows reports whether a key of the scope may be yielded. It allocates nothing.
func (f *Filter) Allows(key string) bool {
	if f.whole != SomeKeys {
		return f.whole == AllKeys
	}
	var allowed Verbs
	for _, r := range f.rules.keys[key] {
		if r.deny {
			return false
		}
		allowed |= r.verbs
	}
	for _, r := range f.rules.patterns {
		if !r.keys.Match(key) {
			continue
		}
		if r.deny {
			return false
		}
		allowed |= r.verbs
	}
	return f.needs&^allowed == 0
}

// Covers says how many of the keys that begin with a prefix may be yielded. Its cost is that of
// all rules about the scope. SomeKeys may be said where it is none or all in fact: it
// looks at the rules one by one.
func (f *Filter) Covers(prefix string) Coverage {
	if f.whole != SomeKeys {
		return f.whole
	}
	return f.cover(prefix)
}

func (f *Filter) cover(prefix string) Coverage {
	var some, all Verbs
	denied := false
	for _, r := range f.list {
		touches, covers := r.meets(prefix)
		switch {
		case r.deny && covers:
			return NoKeys
		case r.deny:
			denied = denied || touches
		case covers:
			all |= r.verbs
			some |= r.verbs
		case touches:
			some |= r.verbs
		}
	}
	switch {
	case f.needs == 0 || f.needs&^some != 0:
		return NoKeys
	case f.needs&^all == 0 && !denied:
		return AllKeys
	}
	return SomeKeys
}

// meets says whether the rule is about any key, and about every key, that begins with a
// prefix. It may be about none where touches is true.
func (r *compiled) meets(prefix string) (touches, covers bool) {
	head := r.keys.Head()
	if _, literal := r.keys.Literal(); literal {
		return strings.HasPrefix(head, prefix), false
	}
	covers = r.keys.Open() && strings.HasPrefix(prefix, head)
	return covers || strings.HasPrefix(head, prefix) || strings.HasPrefix(prefix, head), covers
}

// decide returns the decision for all keys with a prefix: the rule is the first that denies
// them all, or allows any of them.
func (f *Filter) decide(prefix string) Decision {
	d := Decision{Allowed: f.cover(prefix) != NoKeys}
	for _, r := range f.list {
		touches, covers := r.meets(prefix)
		if (d.Allowed && !r.deny && touches || !d.Allowed && r.deny && covers) && (d.Rule == 0 || r.id < d.Rule) {
			d.Rule = r.id
		}
	}
	return d
}

// Decision returns the answer to the request of the filter, for the audit.
func (f *Filter) Decision() Decision { return f.decision }
