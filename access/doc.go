// Package access says who may do what with which keys of which scopes.
//
// A rule allows or denies some verbs to a principal, or to everybody in a role, on the keys
// that a pattern means in the scopes that a pattern means. Deny wins, and what no rule
// allows is denied. Rules with memberships are compiled into a Policy, which never changes;
// a Keeper holds the newest, changes it for an admin, and keeps the rules in a store. Whoever
// opens doors (package state) makes a Request for each operation and asks the Policy
// before it looks at anything. Package access/audit records what was asked and answered.
//
// The package is pure: it must not know of package lsm, of state, of files; time is given
// to it.
//
// Invariants:
//
//   - C1. Deny wins: a request to which a rule that denies applies is denied, whatever others
//     allow.
//   - C2. What no rule allows is denied: an unknown principal, an invalid scope, an operation
//     that is none.
//   - C3. A pattern means the scopes that it says. That of Global means Global alone; only
//     ** means all.
//   - C4. From its expiry on a rule does not apply.
//   - C5. An operation on a whole scope needs rules that allow every key, and none that denies
//     any.
//   - C6. Decide and Explain agree; the deciding rule is the one with the lowest id of those that
//     deny, or else of those that allow.
//   - C7. A decision depends on the request, the rules and the time, never on what is stored, so
//     that no denial tells whether a key exists.
//   - C8. Somebody can always change the rules: the last lasting admin stays.
//   - C9. Ids of rules are never used again, and each change has the next version.
//
// The layout of stored rules is in docs/formats/policy.md.
//
// Reading order: op.go, rule.go, rules.go, policy.go, decide.go, filter.go, explain.go,
// keeper.go, encode.go, memory.go, errors.go.
package access
