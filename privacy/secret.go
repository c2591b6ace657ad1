package privacy

import (
	"encoding/base64"
	"strings"
)

// tokenEnd returns where the token of base64url ends that begins at i, or 0 where i is in the
// middle of one.
func tokenEnd(s string, i int) int {
	if i > 0 && is(s[i-1], classToken) {
		return 0
	}
	return runEnd(s, i, classToken)
}

// hasDigit reports whether there is a digit among the first bytes of s.
func hasDigit(s string) bool {
	return strings.ContainsAny(s[:min(len(s), lookBytes)], "0123456789")
}

// lookBytes is how much of a value is looked at to tell what it is like.
const lookBytes = 64

// awsKey returns where the identifier of an access key ends that begins at i, or 0.
func awsKey(s string, i int) int {
	end := i + len("AKIAIOSFODNN7EXAMPLE")
	if end > len(s) || end < len(s) && isWord(s[end]) {
		return 0
	}
	switch s[i : i+4] {
	case "AKIA", "ASIA", "ABIA", "ACCA":
	default:
		return 0
	}
	for _, c := range []byte(s[i+4 : end]) {
		if !isUpper(c) && (c < '2' || c > '7') {
			return 0
		}
	}
	return end
}

// gitHubToken returns where a token ends that begins at i with a g, or 0.
func gitHubToken(s string, i int) int {
	const fine = "github_pat_"
	if strings.HasPrefix(s[i:], fine) {
		if end := runEnd(s, i, classWord); end-i >= len(fine)+60 && end-i <= 255 {
			return end
		}
		return 0
	}
	if i+4 > len(s) || s[i+1] != 'h' || s[i+3] != '_' || strings.IndexByte("oprsu", s[i+2]) < 0 {
		return 0
	}
	end := runEnd(s, i, classWord)
	if n := end - i - 4; n < 36 || n > 251 || strings.IndexByte(s[i+4:end], '_') >= 0 {
		return 0
	}
	return end
}

// modelKey returns what key of a provider of models begins at i with sk-, and where it ends.
func modelKey(s string, i int) (Detector, int) {
	end := tokenEnd(s, i)
	if end == 0 {
		return OpenAI, 0
	}
	key := s[i:end]
	if rest, ok := strings.CutPrefix(key, "sk-ant-"); ok {
		kind, secret, _ := strings.Cut(rest, "-")
		if kind == "" || len(kind) > 8 || len(secret) < 24 || !hasDigit(key[len("sk-ant-"):]) {
			return Anthropic, 0
		}
		return Anthropic, end
	}
	switch n := len(key); {
	case !hasDigit(key):
	case n >= 40 && (strings.HasPrefix(key, "sk-proj-") || strings.HasPrefix(key, "sk-svcacct-") || strings.HasPrefix(key, "sk-admin-")),
		n >= 40 && strings.Contains(key, "T3BlbkFJ"),
		n == 51 && strings.IndexByte(key[3:], '-') < 0 && strings.IndexByte(key, '_') < 0:
		return OpenAI, end
	}
	return OpenAI, 0
}

// slackToken returns where a token ends that begins at i with an x, or 0.
func slackToken(s string, i int) int {
	if s[i+1] == 'o' {
		if i+5 > len(s) || s[i+2] != 'x' || strings.IndexByte("abcdeoprs", s[i+3]) < 0 || s[i+4] != '-' {
			return 0
		}
	} else if !strings.HasPrefix(s[i:], "xapp-") {
		return 0
	}
	end := tokenEnd(s, i)
	if end-i < 25 || !hasDigit(s[i+4:end]) {
		return 0
	}
	return end
}

// maxHeadBytes is how much of the header of a web token is decoded: four bytes for three.
const maxHeadBytes = 1024

// jwt returns where a web token ends that begins at i, or 0: three parts with dots between, of
// which the first is an object of JSON that names an algorithm and the second an object. The
// signature may be empty.
func jwt(s string, i int) int {
	if i > 0 && s[i-1] == '.' {
		return 0
	}
	dot := tokenEnd(s, i)
	if dot == 0 || at(s, dot) != '.' || !strings.HasPrefix(s[i:], "eyJ") || !strings.HasPrefix(s[dot+1:], "ey") {
		return 0
	}
	second := runEnd(s, dot+1, classToken)
	if at(s, second) != '.' {
		return 0
	}
	var encoded [maxHeadBytes]byte
	var decoded [maxHeadBytes / 4 * 3]byte
	n := copy(encoded[:], s[i:dot])
	n, err := base64.RawURLEncoding.Decode(decoded[:], encoded[:n])
	if err != nil || !strings.Contains(string(decoded[:n]), `"alg"`) {
		return 0
	}
	return runEnd(s, second+1, classToken)
}

const (
	pemBegin  = "-----BEGIN "
	pemEnd    = "-----END "
	pemDashes = "-----"
)

// privateKey returns where a block of PEM ends that begins at i, if it is a private key, or 0.
// A block that is cut off ends with the text, or before the next line of dashes.
func privateKey(s string, i int) int {
	body := pemLabel(s, i+len(pemBegin))
	if body == 0 {
		return 0
	}
	n := strings.Index(s[body:], pemDashes)
	if n < 0 {
		return len(s)
	}
	end := body + n
	if strings.HasPrefix(s[end:], pemEnd) {
		if after := pemLabel(s, end+len(pemEnd)); after > 0 {
			return after
		}
	}
	return end
}

// pemLabel returns where the line of dashes ends whose label begins at i, if it names a
// private key, or 0. Labels are of capitals, digits and spaces.
func pemLabel(s string, i int) int {
	const maxLabelBytes = 64
	end := i
	for end < len(s) && end-i < maxLabelBytes && (is(s[end], classBase) || s[end] == ' ') {
		end++
	}
	if !strings.HasPrefix(s[end:], pemDashes) || !strings.Contains(s[i:end], "PRIVATE KEY") {
		return 0
	}
	return end + len(pemDashes)
}
