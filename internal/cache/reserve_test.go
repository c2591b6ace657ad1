package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/cache"
)

func TestHalfOfTheCacheMayBeReserved(t *testing.T) {
	c, err := cache.New(1 << 20)
	require.NoError(t, err)
	require.True(t, c.Reserve(512<<10))
	require.False(t, c.Reserve(1))
	c.Unreserve(100)
	require.True(t, c.Reserve(100))
	c.Unreserve(512 << 10)
	require.False(t, c.Reserve(512<<10+1))
	require.NoError(t, c.Close())
}
