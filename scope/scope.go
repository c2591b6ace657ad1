package scope

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what a scope belongs to. The values are on disk, and order scopes.
type Kind uint8

// Kinds of scopes. AnyKind is none: where kinds are asked for, it asks for all.
const (
	AnyKind      Kind = 0
	KindGlobal   Kind = 1
	KindUser     Kind = 2
	KindSession  Kind = 3
	KindAgent    Kind = 4
	KindTool     Kind = 5
	KindWorkflow Kind = 6
	KindStep     Kind = 7 // a step of a workflow
	KindHook     Kind = 8
	KindCustom   Kind = 9

	lastKind = KindCustom
)

var kindNames = [...]string{"any", "global", "user", "session", "agent", "tool", "workflow", "step", "hook", "custom"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MaxIDLen is the length in bytes of the longest id, and of the longest name of a step.
const MaxIDLen = 128

// ErrInvalid is the error of a scope that cannot be, or of a text or key that means none.
// The text says what is wrong.
var ErrInvalid = errors.New("scope: invalid scope")

// Scope names a space of keys. It is a small value, comparable, and can be the key of a
// map. The zero Scope is invalid. Constructors take any id; Validate tells whether it is
// one, and so does whoever is given the scope.
type Scope struct {
	kind Kind
	id   string
	step string
}

// Global returns the scope that belongs to nobody in particular.
func Global() Scope { return Scope{kind: KindGlobal} }

// User returns the scope of a user.
func User(id string) Scope { return Scope{kind: KindUser, id: id} }

// Session returns the scope of a session.
func Session(id string) Scope { return Scope{kind: KindSession, id: id} }

// Agent returns the scope of an agent.
func Agent(id string) Scope { return Scope{kind: KindAgent, id: id} }

// Tool returns the scope of a tool.
func Tool(id string) Scope { return Scope{kind: KindTool, id: id} }

// Workflow returns the scope of a workflow.
func Workflow(id string) Scope { return Scope{kind: KindWorkflow, id: id} }

// Step returns the scope of one step of a workflow.
func Step(workflow, step string) Scope { return Scope{kind: KindStep, id: workflow, step: step} }

// Hook returns the scope of a hook.
func Hook(id string) Scope { return Scope{kind: KindHook, id: id} }

// Custom returns the scope of a name of the caller's choosing.
func Custom(name string) Scope { return Scope{kind: KindCustom, id: name} }

// Kind returns the scope's kind, AnyKind for the zero Scope.
func (s Scope) Kind() Kind { return s.kind }

// ID returns the id that the scope was made from: a step's is its workflow's, Global's is
// empty.
func (s Scope) ID() string { return s.id }

// StepName returns the name of a step, empty for every other kind.
func (s Scope) StepName() string { return s.step }

// Parent returns the scope in which to look for what s does not hold: a step's is its
// workflow, Global has none, and every other's is Global.
func (s Scope) Parent() (parent Scope, ok bool) {
	switch s.kind {
	case AnyKind, KindGlobal:
		return Scope{}, false
	case KindStep:
		return Workflow(s.id), true
	}
	return Global(), true
}

// Compare orders scopes by kind, then by id and by step as bytes. It returns a negative
// number, 0 or a positive one.
func Compare(a, b Scope) int {
	if a.kind != b.kind {
		return int(a.kind) - int(b.kind)
	}
	if c := strings.Compare(a.id, b.id); c != 0 {
		return c
	}
	return strings.Compare(a.step, b.step)
}

// Validate returns nil for a scope that can be: its kind is known, and each id that the
// kind has is valid UTF-8 of 1 to MaxIDLen bytes without control characters. Other errors
// match ErrInvalid.
func (s Scope) Validate() error {
	switch {
	case s.kind == AnyKind || s.kind > lastKind:
		return fmt.Errorf("%w: no such kind: %d", ErrInvalid, uint8(s.kind))
	case s.kind == KindGlobal && s.id != "":
		return fmt.Errorf("%w: global has no id", ErrInvalid)
	case s.kind != KindStep && s.step != "":
		return fmt.Errorf("%w: only a step has a step's name", ErrInvalid)
	case s.kind == KindGlobal:
		return nil
	}
	if err := validateID(s.kind.String(), s.id); err != nil || s.kind != KindStep {
		return err
	}
	return validateID("name of the step", s.step)
}

// validateID returns an error that tells which rule the id breaks, never the id itself.
func validateID(what, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: %s: the id is empty", ErrInvalid, what)
	case len(id) > MaxIDLen:
		return fmt.Errorf("%w: %s: an id of %d bytes exceeds %d", ErrInvalid, what, len(id), MaxIDLen)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: %s: the id is not valid UTF-8", ErrInvalid, what)
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%w: %s: the id holds a control character", ErrInvalid, what)
	}
	return nil
}
