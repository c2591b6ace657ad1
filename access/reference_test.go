package access_test

import (
	"strings"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/scope"
)

// reference answers requests as plainly as can be: it looks at every rule, and shares
// nothing with the package but the types.
type reference struct {
	rules   []access.Rule
	members []access.Membership
	now     time.Time
}

// in reports whether a principal is the subject, or in its role, if through others.
func (f *reference) in(who access.Principal, s access.Subject) bool {
	if s.Principal != "" {
		return s.Principal == who
	}
	for _, m := range f.members {
		if m.Role == s.Role && f.in(who, m.Member) {
			return true
		}
	}
	return false
}

// like matches a text with a pattern, one letter after another. No pattern of these tests
// has a backslash.
func like(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return like(pattern[1:], text) || text != "" && like(pattern, text[1:])
	}
	return text != "" && text[0] == pattern[0] && like(pattern[1:], text[1:])
}

func likeScope(pattern string, s scope.Scope) bool {
	if s.Kind() == scope.AnyKind {
		return false
	}
	if pattern == "**" {
		return true
	}
	step := strings.Contains(pattern, ":step:")
	return step == (s.Kind() == scope.KindStep) && like(pattern, s.String())
}

// needs is the table of operations, written once more.
func needs(op access.Op) (verbs []access.Verbs, reach string) {
	switch op {
	case access.OpGet, access.OpHas:
		return []access.Verbs{access.Read}, "key"
	case access.OpSet:
		return []access.Verbs{access.Write}, "key"
	case access.OpUpdate:
		return []access.Verbs{access.Read, access.Write}, "key"
	case access.OpDelete:
		return []access.Verbs{access.Delete}, "key"
	case access.OpList:
		return []access.Verbs{access.List}, "key"
	case access.OpScan, access.OpWatch:
		return []access.Verbs{access.List, access.Read}, "key"
	case access.OpStats:
		return []access.Verbs{access.List}, "scope"
	case access.OpClear, access.OpDrop:
		return []access.Verbs{access.Delete}, "scope"
	case access.OpCopy, access.OpExport:
		return []access.Verbs{access.Read, access.List}, "scope"
	case access.OpCopyTo, access.OpMoveTo:
		return []access.Verbs{access.Write, access.Delete}, "scope"
	case access.OpMove:
		return []access.Verbs{access.Read, access.List, access.Delete}, "scope"
	case access.OpImport:
		return []access.Verbs{access.Read, access.Write}, "scope"
	case access.OpSettings:
		return []access.Verbs{access.Admin}, "scope"
	case access.OpRules:
		return []access.Verbs{access.Admin}, "all"
	}
	return nil, ""
}

// allows answers a request: each verb must be allowed by some rule, and denied by none.
func (f *reference) allows(r access.Request) bool {
	verbs, reach := needs(r.Op)
	for _, verb := range verbs {
		allowed := false
		for _, rule := range f.rules {
			if !f.in(r.Principal, rule.Subject) || rule.Verbs&verb == 0 || !rule.Expires.IsZero() && !f.now.Before(rule.Expires) {
				continue
			}
			deny := rule.Effect == access.Deny
			switch reach {
			case "key":
				if !likeScope(rule.Scopes, r.Scope) || !like(rule.Keys, r.Key) {
					continue
				}
			case "scope":
				if !likeScope(rule.Scopes, r.Scope) || !deny && rule.Keys != "*" {
					continue
				}
			case "all":
				if !deny && (rule.Scopes != "**" || rule.Keys != "*") {
					continue
				}
			}
			if deny {
				return false
			}
			allowed = true
		}
		if !allowed {
			return false
		}
	}
	return len(verbs) > 0
}
