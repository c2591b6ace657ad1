package access

import (
	"fmt"
	"strings"
	"time"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Policy answers requests by one version of the rules. It never changes, but that rules
// expire: the time is asked for where it matters. All methods may be called by many
// goroutines; those that decide take no lock.
//
// The rules of a principal are found by its name and by the scope, so that a decision costs
// what the rules do that could apply: those about the principal and its roles, for this very
// scope or with stars for its kind, for this very key or with stars.
type Policy struct {
	rules    *Rules
	now      func() time.Time
	holders  map[Subject][]Role
	compiled []*compiled                   // one for each of rules
	subjects map[Principal][]*subjectRules // of itself and of its roles
}

// subjectRules are those about one subject.
type subjectRules struct {
	everywhere bucket                  // of **
	kinds      map[scope.Kind]*bucket  // of patterns with stars, by the kind of their scopes
	scopes     map[scope.Scope]*bucket // of patterns without
	all        []*compiled
	admin      bool // one of them allows to change the rules for good
}

// bucket holds rules by their keys.
type bucket struct {
	keys     map[string][]*compiled // of patterns without stars
	patterns []*compiled
}

func (b *bucket) add(r *compiled) {
	key, literal := r.keys.Literal()
	if !literal {
		b.patterns = append(b.patterns, r)
		return
	}
	if b.keys == nil {
		b.keys = map[string][]*compiled{}
	}
	b.keys[key] = append(b.keys[key], r)
}

// NewPolicy compiles rules, of which it makes a copy. It asks now for the time where rules
// expire. The error matches ErrInvalid if there is no clock.
func NewPolicy(rules *Rules, now func() time.Time) (*Policy, error) {
	if now == nil {
		return nil, fmt.Errorf("%w: no clock", ErrInvalid)
	}
	p := &Policy{rules: rules.clone(), now: now, holders: holders(rules.members), subjects: map[Principal][]*subjectRules{}}
	about := map[Subject]*subjectRules{}
	for i := range p.rules.rules {
		r, err := compile(&p.rules.rules[i])
		if err != nil {
			return nil, err
		}
		p.compiled = append(p.compiled, r)
		s := p.rules.rules[i].Subject
		if about[s] == nil {
			about[s] = &subjectRules{kinds: map[scope.Kind]*bucket{}, scopes: map[scope.Scope]*bucket{}}
		}
		about[s].add(r)
	}
	for _, r := range p.rules.rules {
		p.index(r.Subject, about)
	}
	for _, m := range p.rules.members {
		p.index(m.Member, about)
	}
	return p, nil
}

func (p *Policy) index(s Subject, about map[Subject]*subjectRules) {
	if s.Principal == "" || p.subjects[s.Principal] != nil {
		return
	}
	found := []*subjectRules{}
	for _, subject := range subjectsOf(s, p.holders) {
		if rules := about[subject]; rules != nil {
			found = append(found, rules)
		}
	}
	p.subjects[s.Principal] = found
}

func (s *subjectRules) add(r *compiled) {
	s.all = append(s.all, r)
	s.admin = s.admin || r.coversEverything() && !r.timed && !r.deny && r.verbs&Admin != 0
	text, kind := r.scopes.String(), r.scopes.Kind()
	exact, err := scope.Parse(text)
	switch {
	case kind == scope.AnyKind, mutant.Is(mutant.GlobalCoversAll) && kind == scope.KindGlobal:
		s.everywhere.add(r)
	case err == nil && !strings.Contains(text, "*"): // then the text of a scope is its pattern
		if s.scopes[exact] == nil {
			s.scopes[exact] = &bucket{}
		}
		s.scopes[exact].add(r)
	default:
		if s.kinds[kind] == nil {
			s.kinds[kind] = &bucket{}
		}
		s.kinds[kind].add(r)
	}
}

// coversEverything reports whether the rule is about every key of every scope.
func (r *compiled) coversEverything() bool { return r.whole && r.scopes.Kind() == scope.AnyKind }

// Version returns the version of the rules.
func (p *Policy) Version() Version { return p.rules.version }

// Rules returns a copy of the rules.
func (p *Policy) Rules() *Rules { return p.rules.clone() }
