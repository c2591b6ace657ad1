// Command scorecard measures how hard the engine has been tried, and prints one line
// for each figure:
//
//	id name value unit target pass
//
// The ids are those of docs/testing.md. Before the figures come the commit, the seed and
// the size; the same seed makes the same histories. A figure that falls short is printed
// as such and the program exits with 1; what went wrong follows on lines that begin with
// "#". Figures without a target are printed with "-" and always pass.
//
//	go run ./internal/scorecard                  the size of CI, at most four minutes on two cores
//	go run ./internal/scorecard -short           a minute, to see that nothing is broken
//	go run ./internal/scorecard -full            the size of a release
//	go run ./internal/scorecard -only R1,R27     some of it
//	go run ./internal/scorecard -seed 7          other histories
//	go run ./internal/scorecard -tests FILE      what go test -v work has printed is not run again
//
// It runs in the root of the repository, since planted bugs and fuzz targets are run by
// the go command.
//
// Reading order: main.go; table.go, which lists what is measured; then the files of the
// figures: crashes.go, copies.go, faults.go, misdirected.go, metamorphic.go, targets.go,
// planted.go, conformance.go, encryption.go, soak.go, access.go.
package main
