package vfs

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// States are made from others by changing as little as possible. Building each from
// the durable image, operation by operation, must give the same.
func TestShortcutsEqualBuildingFromNothing(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		m := NewCrashMem()
		var files []File
		for _, name := range []string{"a", "b"} {
			f, err := m.Create(name)
			require.NoError(t, err)
			files = append(files, f)
		}
		for range 25 {
			f := files[rnd.IntN(2)].(*memFile)
			off := rnd.Int64N(4 * pageBytes)
			b := make([]byte, 1+rnd.IntN(2*pageBytes))
			randomBytes(b, rnd.Uint64())
			var err error
			switch rnd.IntN(12) {
			case 0:
				err = f.Sync()
			case 1:
				m.write(f.node, b, off, true)
			case 2:
				err = f.Truncate(off)
			case 3:
				if err = m.Link("a", "c"); err == nil {
					err = m.Rename("c", "d")
				}
				if err == nil {
					err = m.Remove("d")
				}
			default:
				_, err = f.WriteAt(b, off)
			}
			require.NoError(t, err)
		}
		e := m.Explore()
		for k := range e.Len() + 1 {
			e.AdvanceTo(k)
			g := &generator{e: e, o: StateOptions{Expect: uint64(k + 1)}}
			require.True(t, g.prepare())
			require.Equal(t, e.build(everything).hash(), g.all.hash(), "seed %d point %d", seed, k)
			for _, i := range g.free {
				p := &e.pend[i]
				for half := range uint8(2) {
					require.Equal(t, e.build(but(p, half)).hash(), g.with(g.all, p, but(p, half)).hash())
					require.Equal(t, e.build(just(p, half)).hash(), g.with(g.none, p, just(p, half)).hash())
				}
				if p.op.kind == opWrite {
					g.substitute(i, part(p.op, 0, 1+rnd.IntN(len(p.op.data))), func() {
						require.Equal(t, e.build(everything).hash(), g.with(g.all, p, everything).hash())
					})
				}
			}
		}
	}
}
