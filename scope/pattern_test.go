package scope_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/scope"
)

func TestPatternsMeanTheScopesTheySay(t *testing.T) {
	all := []scope.Scope{
		scope.Global(), scope.User("u"), scope.Agent("a1"), scope.Agent("a:1"), scope.Agent("b"), scope.Agent("*"),
		scope.Workflow("w"), scope.Step("w", "s1"), scope.Step("v", "s2"), scope.Custom(`c\d`),
	}
	for _, c := range []struct {
		pattern string
		kind    scope.Kind
		want    []scope.Scope
	}{
		{"**", scope.AnyKind, all},
		{"global", scope.KindGlobal, all[:1]},
		{"agent:*", scope.KindAgent, all[2:6]},
		{"agent:a*", scope.KindAgent, all[2:4]},
		{`agent:a\:*`, scope.KindAgent, all[3:4]},
		{`agent:\*`, scope.KindAgent, all[5:6]},
		{"agent:a1", scope.KindAgent, all[2:3]},
		{"workflow:*", scope.KindWorkflow, all[6:7]},
		{"workflow:*:step:*", scope.KindStep, all[7:9]},
		{"workflow:w:step:s*", scope.KindStep, all[7:8]},
		{`custom:c\\d`, scope.KindCustom, all[9:]},
		{"tool:*", scope.KindTool, nil},
	} {
		p, err := scope.ParsePattern(c.pattern)
		require.NoError(t, err)
		require.Equal(t, c.kind, p.Kind())
		require.Equal(t, c.pattern, p.String())
		var got []scope.Scope
		for _, s := range all {
			if p.Match(s) {
				got = append(got, s)
			}
		}
		require.Equal(t, c.want, got, c.pattern)
	}
}

// The text of a scope is a pattern of that scope alone, unless it has a star.
func TestATextOfAScopeIsAPatternOfIt(t *testing.T) {
	for _, s := range []scope.Scope{scope.Global(), scope.Agent(`a:\b`), scope.Step("w:1", `s\`)} {
		p, err := scope.ParsePattern(s.String())
		require.NoError(t, err)
		require.True(t, p.Match(s))
	}
}

func TestPatternsThatMeanNothingAreRefused(t *testing.T) {
	for _, text := range []string{"", "*", "agent", "agent:", "robot:*", "global:*", "agent:a:b", `agent:\`, `agent:\x`, "workflow:w:step:"} {
		_, err := scope.ParsePattern(text)
		require.ErrorIs(t, err, scope.ErrInvalid, text)
	}
	var none scope.Pattern
	require.False(t, none.Match(scope.Global()))
	require.False(t, none.Match(scope.Scope{}))
}
