package state

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state/codec"
)

// Options of Open. The zero value, and nil, are durable, safe and fast: set only what must
// differ. An Options is read by Open and not kept.
type Options struct {
	// Engine are the settings of the storage engine, nil for its defaults. ReadOnly, MustExist,
	// the memory budget, the clock and the logger are among them. InMemory is up to OpenMemory;
	// ExpiryEvents is always set, since hooks are told of what expires.
	Engine *EngineOptions

	// Class is the class of values for which nothing else says one: Standard unless set.
	Class Class
	// ScopeClasses are the classes of values in some scopes, in place of Class. The first one
	// counts whose pattern matches.
	ScopeClasses []ScopeClass
	// InferClass has the names of keys say the class of values for which the call does not:
	// temp:… and cache:… are Ephemeral, benchmark:… and test:… Trusted, external:… and
	// user_input:… External, and what has secret, token or credential in it is Sensitive.
	InferClass bool

	// NoSync makes writes of every class but Sensitive return before they are on the device, unless a
	// call asks for Sync: they then survive the process but not a power cut.
	NoSync bool

	// Access turns access control on: then everybody has to be somebody, see Store.As.
	Access *AccessOptions

	// Privacy says what becomes of personal data and credentials in values that are written. The first
	// rule counts whose pattern matches and that is about the value's class. Values of classes Sensitive
	// and External that no rule is about are looked at too: what is found is counted, and stays.
	Privacy []Privacy

	// EphemeralBytes is how much memory values of class Ephemeral may take, about, keys included: those that have
	// expired make room for others, then the ones that were written longest ago. 16 MiB unless set; negative means that
	// there are no such values, and the class is ErrUnsupported.
	EphemeralBytes int64

	// Hooks say how hooks run: by how many workers, and what becomes of events for which there is no
	// room. Store.Hooks is where they are registered.
	Hooks hook.Options
	// Timeline has events recorded in the store; nil: they are not. Store.Timeline finds them.
	Timeline *TimelineOptions

	// MaxValueBytes is the longest encoding of a value: 16 MiB unless set, at most 1 GiB. Values
	// of class External may have a sixteenth of it.
	MaxValueBytes int
	// MaxDepth is how deep lists and maps may lie in each other: 128 unless set, at most 10,000.
	MaxDepth int
}

// ScopeClass says the class of values in the scopes that a pattern means.
type ScopeClass struct {
	// Scopes is a pattern as scope.ParsePattern has them: session:*, or ** for every scope.
	Scopes string
	// Class is their class.
	Class Class
}

// Validate reports every problem of the options at once, as an error that matches
// ErrInvalidOptions, or nil.
func (o *Options) Validate() error {
	if o == nil {
		return nil
	}
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrInvalidOptions, err))
		}
	}
	usable := func(c Class) error {
		if c == Sensitive && (o.Engine == nil || o.Engine.Encryption == nil) {
			return errUnsealable
		}
		return acceptable(c)
	}
	if o.Class != 0 {
		check(usable(o.Class))
	}
	for i := range o.ScopeClasses {
		_, err := scope.ParsePattern(o.ScopeClasses[i].Scopes)
		check(err)
		check(usable(o.ScopeClasses[i].Class))
	}
	for i := range o.Privacy {
		check(o.Privacy[i].validate())
	}
	if o.Access != nil {
		check(o.Access.validate())
	}
	limits := o.limits()
	check(limits.Validate())
	hooks := hookOptions(o.Hooks)
	check(hooks.Validate())
	if o.Timeline != nil {
		check(o.Timeline.validate())
	}
	if o.Engine != nil {
		check(o.Engine.Validate())
	}
	return errors.Join(errs...)
}

func (o *Options) limits() codec.Limits {
	return codec.Limits{MaxBytes: o.MaxValueBytes, MaxDepth: o.MaxDepth}
}
