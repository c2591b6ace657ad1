package edit

import (
	"github.com/loamdb/loam/state/codec"
)

// MergePatch returns what target becomes under patch, as RFC 7386 has it: where both are maps,
// each key of the patch replaces that of the target, nil removes it, and a map is a patch in its
// turn; anything else is what the target becomes. A target that is absent, nil or no map counts as
// an empty map. Lists are replaced as wholes.
//
// The patch may be of any Go type that codec.Append takes; nil fields of a struct remove their
// keys, unless they are omitted. The target must be a value, and is not changed; the result shares
// what was not patched with it.
func MergePatch(target, patch any, l *codec.Limits) (any, error) {
	if codec.KindOf(target) == codec.Invalid {
		return nil, &codec.ValueError{Err: codec.ErrType, Detail: "the target of a patch is not a value"}
	}
	p, err := plain(patch, l)
	if err != nil {
		return nil, err
	}
	return merge(target, p), nil
}

// plain returns v, of any Go type, as a value that shares nothing with it. It refuses what the
// limits do, and what contains itself.
func plain(v any, l *codec.Limits) (any, error) {
	p, err := codec.Append(nil, v, l)
	if err != nil {
		return nil, err
	}
	return codec.Decode(p, l)
}

func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	old, _ := target.(map[string]any)
	out := make(map[string]any, len(old)+len(changes))
	for k, v := range old {
		out[k] = v
	}
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = merge(old[k], v)
		}
	}
	return out
}
