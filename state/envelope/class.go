package envelope

import (
	"errors"
	"fmt"
)

// Class says how a value is treated: what is checked when it is written, how durable it is, who
// hears of it. The numbers are on disk.
type Class uint8

// Classes. Zero is none: a store has a default.
const (
	// Ephemeral values are in memory only.
	Ephemeral Class = 1 + iota
	// Trusted values are the program's own: no validation, no scan, not synced unless asked.
	Trusted
	// Standard is what values are unless something else is asked for.
	Standard
	// Sensitive values are sealed with their scope's key, and access to them is recorded.
	Sensitive
	// External values came from outside: strictly validated, of a smaller size.
	External
)

var classNames = [...]string{Ephemeral: "ephemeral", Trusted: "trusted", Standard: "standard", Sensitive: "sensitive", External: "external"}

// Valid reports whether c is a class.
func (c Class) Valid() bool { return c >= Ephemeral && c <= External }

// String returns the class's name, in lower case.
func (c Class) String() string {
	if c.Valid() {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// ErrClassName: ParseClass was given a text that names no class.
var ErrClassName = errors.New("envelope: not the name of a class")

// ParseClass returns the class that String names so. Other texts are ErrClassName.
func ParseClass(text string) (Class, error) {
	for c := Ephemeral; c <= External; c++ {
		if classNames[c] == text {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrClassName, text)
}
