package access

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/loamdb/loam/internal/glob"
	"github.com/loamdb/loam/scope"
)

// MaxNameLen is the length in bytes of the longest name of a principal or a role.
const MaxNameLen = 128

// Principal is who asks: a user, an agent, a program. Its name is 1 to MaxNameLen bytes of
// valid UTF-8 without control characters. Whoever opens doors knows who stands before them;
// this package does not.
type Principal string

// Role is a name under which principals and other roles are gathered, like that of a
// Principal. A role is there as soon as a rule or a membership names it.
type Role string

// Subject is a principal or a role: exactly one of both is set.
type Subject struct {
	// Principal is a single one.
	Principal Principal
	// Role is everybody in it.
	Role Role
}

// String returns the kind and the name.
func (s Subject) String() string {
	if s.Role != "" {
		return "role " + string(s.Role)
	}
	return "principal " + string(s.Principal)
}

func (s Subject) name() string { return string(s.Principal) + string(s.Role) }

func (s Subject) check() error {
	if (s.Principal == "") == (s.Role == "") {
		return fmt.Errorf("%w: a subject is either a principal or a role", ErrInvalid)
	}
	return checkName(s.name())
}

// checkName returns which rule of names is broken, without the name.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a name is empty", ErrInvalid)
	case len(name) > MaxNameLen:
		return fmt.Errorf("%w: a name of %d bytes exceeds %d", ErrInvalid, len(name), MaxNameLen)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: a name is not UTF-8 without control characters", ErrInvalid)
	}
	return nil
}

// RuleID names a rule. Ids are given in order, from 1, and never again.
type RuleID uint64

// Effect is what a rule does to requests to which it applies.
type Effect uint8

// Effects. The values are on disk.
const (
	Allow Effect = 0
	Deny  Effect = 1
)

// String returns the effect's name.
func (e Effect) String() string {
	if e == Deny {
		return "deny"
	}
	return "allow"
}

// Rule allows or denies.
type Rule struct {
	// ID is given by Rules.Grant.
	ID RuleID
	// Subject is whom the rule is about.
	Subject Subject
	// Effect is Allow unless set.
	Effect Effect
	// Verbs are those allowed or denied.
	Verbs Verbs
	// Scopes is a pattern of scopes, as of scope.ParsePattern.
	Scopes string
	// Keys is a pattern of keys in which * is any run of characters, and \* a star.
	Keys string
	// Expires is when the rule ends to apply, within the years 1678 to 2262; the zero time is
	// never.
	Expires time.Time
}

// String returns the rule as a line.
func (r Rule) String() string {
	expiry := ""
	if !r.Expires.IsZero() {
		expiry = " until " + r.Expires.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("rule %d: %s %s %s on keys %s of %s%s", r.ID, r.Effect, r.Subject, r.Verbs, r.Keys, r.Scopes, expiry)
}

// compiled is a rule that has been read.
type compiled struct {
	id      RuleID
	deny    bool
	verbs   Verbs
	scopes  scope.Pattern
	keys    glob.Glob
	whole   bool  // keys means every key
	expires int64 // in nanoseconds since 1970; never, if not timed
	timed   bool
}

// compile reads a rule. The error matches ErrInvalid.
func compile(r *Rule) (*compiled, error) {
	if err := r.Subject.check(); err != nil {
		return nil, err
	}
	switch {
	case r.Effect > Deny:
		return nil, fmt.Errorf("%w: no such effect: %d", ErrInvalid, r.Effect)
	case r.Verbs == 0 || r.Verbs&^AllVerbs != 0:
		return nil, fmt.Errorf("%w: a rule with %s", ErrInvalid, r.Verbs)
	case r.Keys == "":
		return nil, fmt.Errorf("%w: no pattern of keys; * means all", ErrInvalid)
	case !utf8.ValidString(r.Keys) || !utf8.ValidString(r.Scopes):
		return nil, fmt.Errorf("%w: a pattern is not valid UTF-8", ErrInvalid)
	case len(r.Scopes) > glob.MaxLen:
		return nil, fmt.Errorf("%w: a pattern of scopes exceeds %d bytes", ErrInvalid, glob.MaxLen)
	}
	c := &compiled{id: r.ID, deny: r.Effect == Deny, verbs: r.Verbs, timed: !r.Expires.IsZero()}
	var err error
	if c.scopes, err = scope.ParsePattern(r.Scopes); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if c.keys, err = glob.Parse(r.Keys); err != nil {
		return nil, fmt.Errorf("%w: keys: %w", ErrInvalid, err)
	}
	c.whole = c.keys.Any()
	if c.timed {
		c.expires = r.Expires.UnixNano()
		if !r.Expires.Equal(time.Unix(0, c.expires)) {
			return nil, fmt.Errorf("%w: an expiry is not within the years 1678 to 2262", ErrInvalid)
		}
	}
	return c, nil
}
