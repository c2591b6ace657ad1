package access

import (
	"fmt"
	"strings"
	"time"

	"github.com/loamdb/loam/scope"
)

// Outcome says why a rule has decided a request, or has not.
type Outcome uint8

// Outcomes. Of several reasons the first of this list is told.
const (
	OtherSubject Outcome = iota // about another principal, or a role that this one is not in
	OtherVerbs                  // about other verbs than the operation needs
	OtherScope                  // about other scopes
	OtherKey                    // about other keys
	NotWhole                    // allows some keys only, where the whole scope was asked for
	Expired
	Overruled // it allows, and another one denies
	TooLittle // it allows one of the verbs needed, and none allows the others
	Agrees    // it applies, and another one of the same effect has a lower id
	Decides
)

var outcomes = [...]string{"is about others", "is about other verbs", "is about other scopes", "is about other keys",
	"does not allow the whole", "has expired", "is overruled", "allows too little", "agrees", "decides"}

// String returns a text that goes on from the rule's.
func (o Outcome) String() string { return outcomes[o] }

// Judgement is what became of one rule.
type Judgement struct {
	// Rule is the rule.
	Rule Rule
	// Outcome is why it has decided, or has not.
	Outcome Outcome
}

// Explanation is the answer to a request with its reasons. It is for admins: it shows rules.
type Explanation struct {
	// Request and Decision are what was asked and answered.
	Request  Request
	Decision Decision
	// Time is when.
	Time time.Time
	// Rules are all rules, by id, with what became of each.
	Rules []Judgement
}

// Explain answers a request as Decide does, and says which rule decided and why the others
// did not. It looks at every rule, one by one.
func (p *Policy) Explain(r Request) *Explanation {
	x := &Explanation{Request: r, Time: p.now(), Decision: Decision{Version: p.Version()}}
	subjects := map[Subject]bool{}
	for _, s := range subjectsOf(Subject{Principal: r.Principal}, p.holders) {
		subjects[s] = true
	}
	var allowed Verbs
	var allow, deny RuleID
	for i, rule := range p.rules.rules {
		c := p.compiled[i]
		o := c.outcome(&r, x.Time.UnixNano())
		if !subjects[rule.Subject] {
			o = OtherSubject
		}
		if o == Agrees && c.deny && deny == 0 {
			deny = c.id
		}
		if o == Agrees && !c.deny {
			allowed |= c.verbs
			if allow == 0 {
				allow = c.id
			}
		}
		x.Rules = append(x.Rules, Judgement{Rule: rule, Outcome: o})
	}
	enough := r.Op.Valid() && r.Op.Needs()&^allowed == 0
	switch {
	case deny != 0:
		x.Decision.Rule = deny
	case enough:
		x.Decision.Allowed, x.Decision.Rule = true, allow
	}
	for i := range x.Rules {
		j := &x.Rules[i]
		switch {
		case j.Outcome != Agrees:
		case j.Rule.ID == x.Decision.Rule:
			j.Outcome = Decides
		case j.Rule.Effect == Allow && deny != 0:
			j.Outcome = Overruled
		case j.Rule.Effect == Allow && !enough:
			j.Outcome = TooLittle
		}
	}
	return x
}

// outcome returns why the rule is not about the request, its subject apart, or Agrees.
func (c *compiled) outcome(r *Request, at int64) Outcome {
	all := r.Op.Valid() && ops[r.Op].reach == everything
	switch {
	case c.verbs&r.Op.Needs() == 0:
		return OtherVerbs
	case all && !c.deny && !c.coversEverything():
		return NotWhole
	case !all && !c.scopes.Match(r.Scope):
		return OtherScope
	case r.Op.Whole() && !c.deny && !c.whole:
		return NotWhole
	case !r.Op.Whole() && !c.keys.Match(r.Key):
		return OtherKey
	case c.timed && at >= c.expires:
		return Expired
	}
	return Agrees
}

// String returns the answer as a line, and the rules that are about the principal as one
// each.
func (x *Explanation) String() string {
	var out strings.Builder
	verdict := "denied, as nothing allows it"
	switch {
	case x.Decision.Allowed:
		verdict = fmt.Sprintf("allowed by rule %d", x.Decision.Rule)
	case x.Decision.Rule != 0:
		verdict = fmt.Sprintf("denied by rule %d", x.Decision.Rule)
	}
	fmt.Fprintf(&out, "%s, %s", x.Request.Principal, x.Request.Op)
	if !x.Request.Op.Whole() {
		fmt.Fprintf(&out, " key %q", x.Request.Key)
	}
	if x.Request.Scope.Kind() != scope.AnyKind {
		fmt.Fprintf(&out, " of %s", x.Request.Scope)
	}
	fmt.Fprintf(&out, ": %s\n", verdict)
	for _, j := range x.Rules {
		if j.Outcome != OtherSubject {
			fmt.Fprintf(&out, "%s: %s\n", j.Rule, j.Outcome)
		}
	}
	return out.String()
}
