package access

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/loamdb/loam/internal/codec"
)

// The encoding of rules. Canonical description: docs/formats/policy.md.
//
//	format u8 · version uvarint · last id uvarint
//	count uvarint · memberships · count uvarint · rules
//
//	membership: role text · kind u8 · member text
//	rule: id minus that before uvarint · flags u8 · kind u8 · subject text · verbs u8
//	      scopes text · keys text · expiry i64 if flagged
const format = 1

const (
	kindPrincipal = 1
	kindRole      = 2

	flagDeny    = 1
	flagExpires = 2
	allFlags    = flagDeny | flagExpires
)

// The least bytes of a membership and of a rule, by which counts are judged before anything
// is allocated for them.
const (
	minMembership = 5
	minRule       = 9
)

// Encode appends the encoding of rules to dst.
func Encode(dst []byte, r *Rules) []byte {
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(r.version))
	dst = binary.AppendUvarint(dst, uint64(r.last))
	dst = binary.AppendUvarint(dst, uint64(len(r.members)))
	for _, m := range r.members {
		dst = appendText(dst, string(m.Role))
		dst = appendSubject(dst, m.Member)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.rules)))
	before := RuleID(0)
	for i := range r.rules {
		rule := &r.rules[i]
		flags := byte(rule.Effect)
		if !rule.Expires.IsZero() {
			flags |= flagExpires
		}
		dst = binary.AppendUvarint(dst, uint64(rule.ID-before))
		dst = append(dst, flags)
		dst = append(appendSubject(dst, rule.Subject), byte(rule.Verbs))
		dst = appendText(appendText(dst, rule.Scopes), rule.Keys)
		if flags&flagExpires != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(rule.Expires.UnixNano()))
		}
		before = rule.ID
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendSubject(dst []byte, s Subject) []byte {
	kind := byte(kindPrincipal)
	if s.Role != "" {
		kind = kindRole
	}
	return appendText(append(dst, kind), s.name())
}

// Decode returns the rules of an encoding, of which it keeps nothing. It accepts what Encode
// makes and nothing else. Errors match ErrTooNew or ErrMalformed.
func Decode(p []byte) (*Rules, error) {
	d := codec.NewDecoder(p)
	if v := d.Uint8(); d.Err() == nil && v > format {
		return nil, fmt.Errorf("%w: rules of format %d", ErrTooNew, v)
	} else if d.Err() == nil && v != format {
		return nil, fmt.Errorf("%w: rules of format %d", ErrMalformed, v)
	}
	r := &Rules{version: Version(d.Uvarint()), last: RuleID(d.Uvarint())}
	for range count(&d, minMembership, MaxMemberships) {
		r.members = append(r.members, Membership{Role: Role(d.LengthPrefixed()), Member: decodeSubject(&d)})
	}
	for range count(&d, minRule, MaxRules) {
		r.rules = append(r.rules, decodeRule(&d, r.rules))
	}
	err := d.Err()
	switch {
	case err != nil:
	case d.Len() > 0:
		err = fmt.Errorf("%d bytes behind them", d.Len())
	default:
		err = r.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: rules: %w", ErrMalformed, err)
	}
	return r, nil
}

// count reads how many things of at least so many bytes follow.
func count(d *codec.Decoder, least, most int) int {
	n := d.Uvarint()
	if n > uint64(most) || n > uint64(d.Len()/least) {
		d.Fail(codec.ErrTruncated)
		return 0
	}
	return int(n)
}

func decodeSubject(d *codec.Decoder) Subject {
	kind, name := d.Uint8(), string(d.LengthPrefixed())
	switch kind {
	case kindPrincipal:
		return Subject{Principal: Principal(name)}
	case kindRole:
		return Subject{Role: Role(name)}
	}
	d.Fail(codec.ErrMalformed)
	return Subject{}
}

func decodeRule(d *codec.Decoder, before []Rule) Rule {
	var last RuleID
	if len(before) > 0 {
		last = before[len(before)-1].ID
	}
	rule := Rule{ID: last + RuleID(d.Uvarint())}
	flags := d.Uint8()
	if flags&^allFlags != 0 || rule.ID <= last {
		d.Fail(codec.ErrMalformed)
	}
	rule.Effect = Effect(flags & flagDeny)
	rule.Subject = decodeSubject(d)
	rule.Verbs = Verbs(d.Uint8())
	rule.Scopes, rule.Keys = string(d.LengthPrefixed()), string(d.LengthPrefixed())
	if flags&flagExpires != 0 {
		rule.Expires = time.Unix(0, int64(d.Uint64())).UTC()
	}
	return rule
}

// check returns which rule of sets of rules this one breaks.
func (r *Rules) check() error {
	if r.version == 0 || len(r.rules) > 0 && r.rules[len(r.rules)-1].ID > r.last {
		return fmt.Errorf("no version, or an id above the last")
	}
	for i := range r.rules {
		if _, err := compile(&r.rules[i]); err != nil {
			return err
		}
	}
	for _, m := range r.members {
		if err := cmp.Or(checkName(string(m.Role)), m.Member.check()); err != nil {
			return err
		}
	}
	for i := 1; i < len(r.members); i++ {
		if compareMemberships(r.members[i-1], r.members[i]) >= 0 {
			return fmt.Errorf("memberships out of order")
		}
	}
	if !acyclic(r.members) {
		return ErrCycle
	}
	return nil
}
