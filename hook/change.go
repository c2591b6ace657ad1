package hook

import (
	"time"

	"github.com/loamdb/loam/scope"
)

// Change is an operation that is about to be made. A before-hook is given one that is valid
// until the hook returns, and must not be kept.
type Change struct {
	// Op says what is to be done.
	Op Op
	// Scope is where. The zero Scope is the whole store, as for backups.
	Scope scope.Scope
	// To is the scope that a copy or move goes to, else the zero Scope.
	To scope.Scope
	// Key is empty for operations on whole scopes.
	Key string
	// Collection is that of the document which Key names, as in Event.
	Collection string
	// Time is the present, from a clock that the caller has just read by Options.Now; zero if it
	// has not. The timeout of the first hook counts from it.
	Time time.Time
	// Source yields the value that is to be written when a hook first asks for it; nil if
	// there is none, or if it was given by Give.
	Source Source

	value    any
	known    bool // value is set
	replaced bool // by a hook
	lingers  bool // a hook that was late may still have a copy
}

// Source yields a value that is dear to make. It is called at most once per change, unless
// a hook fails, by the goroutine of a hook. Where Change.Lingers a hook may call it still after
// Before has returned; otherwise not.
type Source interface {
	// Value returns the value. Nobody may change what it refers to.
	Value() (any, error)
}

// Give sets the value that is to be written, where it is there already.
func (c *Change) Give(v any) { c.value, c.known = v, true }

// Value returns the value as the hooks before this one have left it, nil for an operation
// without one. What it refers to must not be changed: to change it, Replace it.
func (c *Change) Value() (any, error) {
	if !c.known && c.Source != nil {
		v, err := c.Source.Value()
		if err != nil {
			return nil, err
		}
		c.value, c.known = v, true
	}
	return c.value, nil
}

// Replace makes v the value, for the hooks that follow and for what is written, if the hook
// then returns nil. Of an operation that writes no value nothing changes.
func (c *Change) Replace(v any) { c.value, c.known, c.replaced = v, true, true }

// Replaced returns the value that hooks have put in place of the one that was to be
// written, and whether they have.
func (c *Change) Replaced() (any, bool) {
	if !c.replaced {
		return nil, false
	}
	return c.value, true
}

// Lingers reports, once Before has returned, whether a hook whose time was up may still run, and
// ask Source: it is not to be used for anything else then.
func (c *Change) Lingers() bool { return c.lingers }

// take makes the value of from, which a hook has had, that of c.
func (c *Change) take(from *Change) {
	c.value, c.known, c.replaced = from.value, from.known, from.replaced
}
