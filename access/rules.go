package access

import (
	"cmp"
	"fmt"
	"slices"
)

// Bounds of what one set of rules holds.
const (
	MaxRules       = 100_000 // rules
	MaxMemberships = 100_000 // memberships
)

// Version counts the changes of the rules, from 1.
type Version uint64

// Membership says that a principal, or everybody in a role, is in a role.
type Membership struct {
	// Role is the role.
	Role Role
	// Member is who is in it.
	Member Subject
}

func compareMemberships(a, b Membership) int {
	return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Member.Principal, b.Member.Principal), cmp.Compare(a.Member.Role, b.Member.Role))
}

// Rules are rules and memberships, each of which can be. They are changed within
// Keeper.Change, by one goroutine. The zero Rules are empty.
type Rules struct {
	version Version
	last    RuleID       // the greatest id that was given
	members []Membership // sorted
	rules   []Rule       // by id
}

// Version returns how often the rules were changed.
func (r *Rules) Version() Version { return r.version }

// All returns a copy of the rules, by id.
func (r *Rules) All() []Rule { return slices.Clone(r.rules) }

// Memberships returns a copy of them, by role.
func (r *Rules) Memberships() []Membership { return slices.Clone(r.members) }

func (r *Rules) clone() *Rules {
	return &Rules{version: r.version, last: r.last, members: slices.Clone(r.members), rules: slices.Clone(r.rules)}
}

// Grant adds a rule under a new id, which it returns. Errors match ErrInvalid.
func (r *Rules) Grant(rule Rule) (RuleID, error) {
	if len(r.rules) >= MaxRules {
		return 0, fmt.Errorf("%w: more than %d rules", ErrInvalid, MaxRules)
	}
	rule.ID = r.last + 1
	if !rule.Expires.IsZero() {
		rule.Expires = rule.Expires.UTC().Round(0) // as it will be read
	}
	if _, err := compile(&rule); err != nil {
		return 0, err
	}
	r.last = rule.ID
	r.rules = append(r.rules, rule)
	return rule.ID, nil
}

// Revoke removes a rule. The error matches ErrUnknown if there is none of this id.
func (r *Rules) Revoke(id RuleID) error {
	i, found := slices.BinarySearchFunc(r.rules, id, func(rule Rule, id RuleID) int { return cmp.Compare(rule.ID, id) })
	if !found {
		return fmt.Errorf("%w: rule %d", ErrUnknown, id)
	}
	r.rules = slices.Delete(r.rules, i, i+1)
	return nil
}

// Join makes a principal, or everybody in a role, a member of a role; once more does
// nothing. Errors match ErrInvalid or ErrCycle.
func (r *Rules) Join(role Role, member Subject) error {
	m := Membership{Role: role, Member: member}
	if err := checkName(string(role)); err != nil {
		return err
	}
	if err := member.check(); err != nil {
		return err
	}
	i, found := slices.BinarySearchFunc(r.members, m, compareMemberships)
	switch {
	case found:
		return nil
	case len(r.members) >= MaxMemberships:
		return fmt.Errorf("%w: more than %d memberships", ErrInvalid, MaxMemberships)
	case member.Role != "" && r.contains(member.Role, role):
		return fmt.Errorf("%w: %.40q in %.40q", ErrCycle, member.Role, role)
	}
	r.members = slices.Insert(r.members, i, m)
	return nil
}

// Leave takes a membership back. The error matches ErrUnknown if it is not there.
func (r *Rules) Leave(role Role, member Subject) error {
	i, found := slices.BinarySearchFunc(r.members, Membership{Role: role, Member: member}, compareMemberships)
	if !found {
		return fmt.Errorf("%w: %s in role %.40q", ErrUnknown, member, role)
	}
	r.members = slices.Delete(r.members, i, i+1)
	return nil
}

// contains reports whether inner is outer, or a member of it, if through others.
func (r *Rules) contains(outer, inner Role) bool {
	seen := map[Role]bool{outer: true}
	for next := []Role{outer}; len(next) > 0; {
		role := next[len(next)-1]
		next = next[:len(next)-1]
		if role == inner {
			return true
		}
		i, _ := slices.BinarySearchFunc(r.members, role, func(m Membership, role Role) int { return cmp.Compare(m.Role, role) })
		for ; i < len(r.members) && r.members[i].Role == role; i++ {
			if inside := r.members[i].Member.Role; inside != "" && !seen[inside] {
				seen[inside] = true
				next = append(next, inside)
			}
		}
	}
	return false
}

// holders maps each subject to the roles that it is a member of, not through others.
func holders(members []Membership) map[Subject][]Role {
	out := map[Subject][]Role{}
	for _, m := range members {
		out[m.Member] = append(out[m.Member], m.Role)
	}
	return out
}

// subjectsOf returns the subjects whose rules are about a subject: itself, and the roles
// that it is in, nearest first.
func subjectsOf(who Subject, holders map[Subject][]Role) []Subject {
	out := []Subject{who}
	seen := map[Subject]bool{who: true}
	for i := 0; i < len(out); i++ {
		for _, role := range holders[out[i]] {
			if s := (Subject{Role: role}); !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// acyclic reports whether no role is a member of itself.
func acyclic(members []Membership) bool {
	inside := map[Role]int{} // how many roles a role is still known to be a member of
	parents := map[Role][]Role{}
	for _, m := range members {
		if m.Member.Role != "" {
			inside[m.Role]++
			parents[m.Member.Role] = append(parents[m.Member.Role], m.Role)
		}
	}
	var free []Role
	for role := range parents {
		if inside[role] == 0 {
			free = append(free, role)
		}
	}
	for len(free) > 0 {
		role := free[len(free)-1]
		free = free[:len(free)-1]
		for _, p := range parents[role] {
			if inside[p]--; inside[p] == 0 {
				delete(inside, p)
				free = append(free, p)
			}
		}
	}
	return len(inside) == 0
}
