package golden

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A script is a sequence of blocks:
//
//	# comment, kept as it is
//	command name=value flag
//	input, any number of lines
//	----
//	the output expected
//	(an empty line ends the block)
//
// An empty line within output is written as a line of one dot; a line that consists of
// dots only gets one more. Input has no such rule: it ends at the separator.

const separator = "----"

// Block is one command of a script, as the function given to Run receives it.
type Block struct {
	// Command is the first word of the command line.
	Command string
	// Input is the text between the command line and the separator, every line with
	// its end.
	Input string

	t     testing.TB
	place string
	args  []argument
	lines []string // the block up to the separator, as read
	want  string
}

type argument struct {
	name, value string
	used        bool
}

// Arg returns the value of name=value, or "" for the bare word name, and whether the
// command line has it.
func (b *Block) Arg(name string) (string, bool) {
	for i := range b.args {
		if b.args[i].name == name {
			b.args[i].used = true
			return b.args[i].value, true
		}
	}
	return "", false
}

// Int returns the value of name=value as a decimal integer, or otherwise when the
// command line lacks it. It stops the test when the value is no integer.
func (b *Block) Int(name string, otherwise int) int {
	text, ok := b.Arg(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.t.Fatalf("%s: %s=%q is not an integer", b.place, name, text)
	}
	return n
}

// Fatalf stops the test with the block's place in the script before the message.
func (b *Block) Fatalf(format string, args ...any) {
	b.t.Helper()
	b.t.Fatalf(b.place+": "+format, args...)
}

// Run plays the script at path: it calls do for each block, in order, and fails t
// where the output differs from what the script expects; a final line end is added to
// outputs that lack one. A block whose arguments do did not all ask for fails too, so
// that a misspelt argument cannot pass unnoticed. With -update the script is rewritten
// with the outputs as they are.
func Run(t testing.TB, path string, do func(b *Block) string) {
	t.Helper()
	run(t, path, do, *update)
}

func run(t testing.TB, path string, do func(b *Block) string, rewrite bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("golden: %v", err)
	}
	blocks, tail := parse(t, path, string(text))
	if len(blocks) == 0 {
		t.Fatalf("golden: %s holds no command", path)
	}
	var out strings.Builder
	for _, b := range blocks {
		got := do(b)
		if got != "" && !strings.HasSuffix(got, "\n") {
			got += "\n"
		}
		for _, a := range b.args {
			if !a.used {
				t.Errorf("%s: command %s does not use the argument %q", b.place, b.Command, a.name)
			}
		}
		if got != b.want && !rewrite {
			t.Errorf("%s: %s\nwant:\n%sgot:\n%s", b.place, b.Command, b.want, got)
		}
		for _, line := range b.lines {
			out.WriteString(line + "\n")
		}
		out.WriteString(stuff(got) + "\n")
	}
	result := strings.TrimRight(out.String(), "\n") + "\n"
	if tail != "" {
		result += "\n" + tail
	}
	if rewrite && result != string(text) {
		write(t, path, []byte(result))
	}
}

// parse splits a script into blocks. The comments after the last block are the tail.
func parse(t testing.TB, path, text string) (blocks []*Block, tail string) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var head []string // comments and empty lines before the command
	for i := 0; i < len(lines); {
		if line := lines[i]; line == "" || strings.HasPrefix(line, "#") {
			head = append(head, line)
			i++
			continue
		}
		b := &Block{t: t, place: path + ":" + strconv.Itoa(i+1), lines: append(head, lines[i])}
		head = nil
		fields := strings.Fields(lines[i])
		if len(fields) == 0 {
			b.Fatalf("a line of spaces where a command should be")
		}
		b.Command = fields[0]
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			b.args = append(b.args, argument{name: name, value: value})
		}
		for i++; i < len(lines) && lines[i] != separator; i++ {
			b.Input += lines[i] + "\n"
			b.lines = append(b.lines, lines[i])
		}
		if i == len(lines) {
			b.Fatalf("command %s has no %s line", b.Command, separator)
		}
		b.lines = append(b.lines, separator)
		for i++; i < len(lines) && lines[i] != ""; i++ {
			b.want += unstuff(lines[i]) + "\n"
		}
		i++ // the empty line that ended the block
		blocks = append(blocks, b)
	}
	if len(head) > 0 {
		tail = strings.Join(head, "\n") + "\n"
	}
	return blocks, tail
}

func onlyDots(line string) bool { return strings.Trim(line, ".") == "" }

func stuff(output string) string {
	var out strings.Builder
	for line := range strings.Lines(output) {
		if line = strings.TrimSuffix(line, "\n"); onlyDots(line) {
			line += "."
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func unstuff(line string) string {
	if onlyDots(line) {
		return strings.TrimSuffix(line, ".")
	}
	return line
}
