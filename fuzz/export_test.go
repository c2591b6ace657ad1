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

// SeenInPanic reports whether a canary is seen in what a call panics with.
func SeenInPanic(value any) bool {
	s := &sightings{}
	s.guard("call", func() error { panic(value) })
	return s.Err() != nil
}

// SeenAt reports whether a file with the name is one where none must be.
func SeenAt(name string) bool {
	s := &sightings{}
	s.file(name)
	return s.Err() != nil
}

// Canary returns the n-th canary.
func Canary(n int) string { return canary(n) }
