package access

import (
	"time"

	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/scope"
)

// Request is what somebody asks for.
type Request struct {
	// Principal is who asks.
	Principal Principal
	// Op is the operation.
	Op Op
	// Scope is the scope; OpRules has none.
	Scope scope.Scope
	// Key is the key. Operations on whole scopes have none. Of OpList, OpScan and OpWatch it is
	// one of the keys that they would yield; Filter answers for all of them.
	Key string
}

// Decision is the answer to a Request.
type Decision struct {
	// Allowed is whether it may be done.
	Allowed bool
	// Rule is the one that has decided: of those that deny the one with the lowest id, or else
	// of those that allow. It is 0 where the request is denied because nothing allows it.
	Rule RuleID
	// Version is that of the rules.
	Version Version
}

// Check returns nil if the request is allowed, and *AccessError if not.
func (p *Policy) Check(r Request) error {
	if p.Decide(r).Allowed {
		return nil
	}
	return r.denied()
}

func (r *Request) denied() error {
	e := &AccessError{Principal: r.Principal, Op: r.Op, Scope: r.Scope, Key: r.Key}
	if r.Op.Whole() {
		e.Key = ""
	}
	return e
}

// Decide answers a request. It allocates nothing.
func (p *Policy) Decide(r Request) Decision {
	j := judge{needs: r.Op.Needs(), now: p.now}
	if !r.Op.Valid() {
		return Decision{Version: p.Version()}
	}
	for _, s := range p.subjects[r.Principal] {
		if ops[r.Op].reach == everything {
			j.everything(s)
		} else {
			j.scope(s, &r)
		}
	}
	return j.decision(p.Version())
}

// lastingAdmin reports whether somebody may change the rules, and will always be.
func (p *Policy) lastingAdmin() bool {
	for _, subjects := range p.subjects {
		j := judge{needs: Admin, now: p.now, lasting: true}
		admin := false
		for _, s := range subjects {
			admin = admin || s.admin
		}
		if !admin {
			continue
		}
		for _, s := range subjects {
			j.everything(s)
		}
		if j.decision(0).Allowed {
			return true
		}
	}
	return false
}

// judge hears rules and decides.
type judge struct {
	needs   Verbs
	now     func() time.Time
	lasting bool // rules that allow for a time only do not count

	asked   bool  // now was asked
	at      int64 // what it said
	allowed Verbs
	allow   RuleID // the first that allows something needed
	deny    RuleID // the first that denies something needed
}

func (j *judge) everything(s *subjectRules) {
	for _, r := range s.all {
		if r.deny || r.coversEverything() {
			j.hear(r)
		}
	}
}

func (j *judge) scope(s *subjectRules, r *Request) {
	kind := r.Scope.Kind()
	if kind == scope.AnyKind {
		return
	}
	whole := ops[r.Op].reach == wholeScope
	j.bucket(&s.everywhere, r, whole)
	if b := s.kinds[kind]; b != nil {
		j.bucket(b, r, whole)
	}
	if b := s.scopes[r.Scope]; b != nil {
		j.bucket(b, r, whole)
	}
}

func (j *judge) bucket(b *bucket, r *Request, whole bool) {
	anyScope := mutant.Is(mutant.GlobalCoversAll) // its rules lie where every scope finds them
	if whole {
		for _, rules := range b.keys {
			for _, c := range rules {
				if c.deny && (anyScope || c.scopes.Match(r.Scope)) {
					j.hear(c)
				}
			}
		}
	} else {
		for _, c := range b.keys[r.Key] {
			if anyScope || c.scopes.Match(r.Scope) {
				j.hear(c)
			}
		}
	}
	for _, c := range b.patterns {
		if (c.whole || whole && c.deny || !whole && c.keys.Match(r.Key)) && (anyScope || c.scopes.Match(r.Scope)) {
			j.hear(c)
		}
	}
}

// hear counts a rule that is about the request's subject, scope and key.
func (j *judge) hear(r *compiled) {
	if r.verbs&j.needs == 0 || j.lasting && r.timed && !r.deny || j.expired(r) {
		return
	}
	if r.deny {
		if j.deny == 0 || r.id < j.deny {
			j.deny = r.id
		}
		return
	}
	j.allowed |= r.verbs
	if j.allow == 0 || r.id < j.allow {
		j.allow = r.id
	}
}

func (j *judge) expired(r *compiled) bool {
	if !r.timed || mutant.Is(mutant.IgnoreRuleExpiry) {
		return false
	}
	if !j.asked {
		j.asked, j.at = true, j.now().UnixNano()
	}
	return j.at >= r.expires
}

func (j *judge) decision(v Version) Decision {
	allowed := j.needs != 0 && j.needs&^j.allowed == 0
	switch {
	case j.deny != 0 && !(mutant.Is(mutant.DenyLoses) && allowed):
		return Decision{Rule: j.deny, Version: v}
	case allowed:
		return Decision{Allowed: true, Rule: j.allow, Version: v}
	}
	return Decision{Version: v}
}
