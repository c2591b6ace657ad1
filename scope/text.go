package scope

import (
	"fmt"
	"strings"
)

// The text form, docs/formats/directory.md:
//
//	global · user:ID · session:ID · agent:ID · tool:ID · workflow:ID
//	workflow:ID:step:NAME · hook:ID · custom:NAME
//
// with : and \ inside an id written as \: and \\.

var escaper = strings.NewReplacer(`\`, `\\`, `:`, `\:`)

// String returns the text form. Parse turns that of a valid scope into the same scope.
func (s Scope) String() string {
	switch s.kind {
	case AnyKind:
		return "invalid"
	case KindGlobal:
		return "global"
	case KindStep:
		return "workflow:" + escaper.Replace(s.id) + ":step:" + escaper.Replace(s.step)
	}
	return s.kind.String() + ":" + escaper.Replace(s.id)
}

// Parse returns the scope of a text form. It accepts exactly what String makes of valid
// scopes; an unknown kind is an error. Errors match ErrInvalid.
func Parse(text string) (Scope, error) {
	parts, err := split(text)
	if err != nil {
		return Scope{}, err
	}
	s, err := fromParts(parts)
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return Scope{}, err
	}
	return s, nil
}

// split cuts a text at the colons that are not escaped, and takes the escapes out.
func split(text string) ([]string, error) {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ':':
			parts = append(parts, part.String())
			part.Reset()
		case '\\':
			if i++; i == len(text) || text[i] != ':' && text[i] != '\\' {
				return nil, fmt.Errorf(`%w: \ stands before neither : nor \`, ErrInvalid)
			}
			part.WriteByte(text[i])
		default:
			part.WriteByte(c)
		}
	}
	return append(parts, part.String()), nil
}

func fromParts(parts []string) (Scope, error) {
	kind := AnyKind
	for k := KindGlobal; k <= lastKind; k++ {
		if kindNames[k] == parts[0] {
			kind = k
		}
	}
	switch {
	case kind == AnyKind || kind == KindStep:
		return Scope{}, fmt.Errorf("%w: no such kind: %.20q", ErrInvalid, parts[0])
	case kind == KindGlobal && len(parts) == 1:
		return Global(), nil
	case kind == KindWorkflow && len(parts) == 4 && parts[2] == "step":
		return Step(parts[1], parts[3]), nil
	case kind == KindGlobal || len(parts) != 2:
		return Scope{}, fmt.Errorf("%w: %s with %d parts: a colon within an id stands behind a backslash", ErrInvalid, kind, len(parts))
	}
	return Scope{kind: kind, id: parts[1]}, nil
}
