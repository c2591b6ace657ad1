package state

import (
	"fmt"
	"strings"

	"github.com/loamdb/loam/state/envelope"
)

// Class says how a value is treated when it is written. docs/state.md has the table.
type Class = envelope.Class

// Classes of values.
const (
	// Ephemeral values are in memory only, as many as Options.EphemeralBytes has room for. They are
	// read, listed and deleted as others are, and are no part of transactions, of writes that
	// depend on what was there, of snapshots, copies and watches.
	Ephemeral = envelope.Ephemeral
	// Trusted values are the program's own: nothing looks at them on their way, and a write
	// returns before it is on the device, unless asked to wait.
	Trusted = envelope.Trusted
	// Standard is what values are unless something else is asked for: on the device when the
	// write returns.
	Standard = envelope.Standard
	// Sensitive values are sealed with a key of their scope, which Scope.Shred destroys. They are always on
	// the device when the write returns, no event has them, nothing indexes them, and where there is access
	// control each use of one is recorded. The store must be encrypted (Options.Engine.Encryption),
	// one in memory too: else every write of the class is ErrNotEncrypted.
	Sensitive = envelope.Sensitive
	// External values came from outside: as Standard, with a sixteenth of the size.
	External = envelope.External
)

// acceptable returns nil for a class that values can have.
func acceptable(c Class) error {
	if !c.Valid() {
		return fmt.Errorf("%w: %v", ErrOption, c)
	}
	return nil
}

// errUnsealable is the error of values that cannot be sealed where the store is in clear.
var errUnsealable = fmt.Errorf("%w: values of class %v are sealed with a key of their scope, for which the store must be encrypted: Options.Engine.Encryption",
	ErrNotEncrypted, Sensitive)

// infer returns the class that a key's name stands for, 0 if for none.
func infer(key string) Class {
	prefixed := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(key, p) {
				return true
			}
		}
		return false
	}
	switch {
	case strings.Contains(key, "secret") || strings.Contains(key, "token") || strings.Contains(key, "credential"):
		return Sensitive
	case prefixed("temp:", "cache:"):
		return Ephemeral
	case prefixed("benchmark:", "test:"):
		return Trusted
	case prefixed("external:", "user_input:"):
		return External
	}
	return 0
}

// classOf returns the class of a value that is written to key: what the call says, or else what
// the value before it has that is changed, or else what the key's name stands for, or else the
// default.
func (s *Scope) classOf(key string, asked, before Class) (Class, error) {
	c := asked
	if c == 0 {
		c = before
	}
	if c == 0 && s.store.inferClass {
		c = infer(key)
	}
	if c == 0 {
		c = s.class
	}
	if c == Ephemeral && s.store.ephemeral.limit < 0 {
		return 0, fmt.Errorf("%w: the store was opened without room for values of class %v", ErrUnsupported, c)
	}
	if c == Sensitive && !s.store.encrypted {
		return 0, errUnsealable
	}
	return c, acceptable(c)
}
