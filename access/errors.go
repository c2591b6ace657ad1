package access

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/loamdb/loam/scope"
)

// Errors of rules and their changes.
var (
	// ErrInvalid is the error of a rule, a name, or an option that cannot be. The text says
	// what is wrong.
	ErrInvalid = errors.New("access: invalid")
	// ErrUnknown is the error of taking back a rule or a membership that is not there.
	ErrUnknown = errors.New("access: no such rule or membership")
	// ErrCycle is the error of a role that would be a member of itself, if through others.
	ErrCycle = errors.New("access: a role would be a member of itself")
	// ErrConflict is the error of a change of rules that have been changed since the
	// version that it was made for.
	ErrConflict = errors.New("access: the rules have changed meanwhile")
	// ErrNoAdmin is the error of a change after which nobody could change the rules.
	ErrNoAdmin = errors.New("access: nobody would be left who may change the rules")
)

// Errors of the store.
var (
	// ErrNoRules is the error of opening a store without rules.
	ErrNoRules = errors.New("access: no rules are stored")
	// ErrExists is the error of creating rules where there are some.
	ErrExists = errors.New("access: rules are stored already")
	// ErrMalformed is the error of bytes that are no rules.
	ErrMalformed = errors.New("access: malformed")
	// ErrTooNew is the error of rules of a later format.
	ErrTooNew = errors.New("access: format is too new")
)

// AccessError says that a request was denied. It does not tell whether the key exists, nor
// which rule has decided: that is for the audit.
type AccessError struct {
	// Principal is who asked.
	Principal Principal
	// Op is the operation.
	Op Op
	// Scope is the scope, the zero Scope for operations on the rules.
	Scope scope.Scope
	// Key is the key, empty for operations on whole scopes.
	Key string
}

// Error names the principal, the operation, the scope and the key.
func (e *AccessError) Error() string {
	who := cmp.Or(e.Principal, "a caller without a name")
	switch {
	case e.Scope.Kind() == scope.AnyKind:
		return fmt.Sprintf("access: %s may not %s", who, e.Op)
	case e.Key == "":
		return fmt.Sprintf("access: %s may not %s in scope %s", who, e.Op, e.Scope)
	}
	return fmt.Sprintf("access: %s may not %s key %q of scope %s", who, e.Op, e.Key, e.Scope)
}
