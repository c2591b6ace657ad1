package fuzz

import (
	"github.com/loamdb/loam/internal/vfs"
)

// SeenInFiles plays canaries and looks through all that is written, encrypted or not.
func SeenInFiles(setup Setup, canaries int) error {
	k := &keeper{setup: setup, seen: &sightings{}}
	k.fs = watchedFS{vfs.NewMem(), k.seen}
	k.play(canaries)
	return k.seen.Err()
}

// SeenInText reports whether a text shows a canary.
func SeenInText(text string) bool {
	s := &sightings{}
	s.text("text", text)
	return s.Err() != nil
}

// Canary returns the n-th canary.
func Canary(n int) string { return canary(n) }
