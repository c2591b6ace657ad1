package privacy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/privacy"
)

// protector returns one that does mode with everything.
func protector(t testing.TB, mode privacy.Mode) *privacy.Protector {
	p, err := privacy.New(&privacy.Policy{Default: mode}, keySet(t))
	require.NoError(t, err)
	return p
}

const theKey = "0123456789abcdef0123456789abcdef"

func keySet(t testing.TB) *privacy.KeySet {
	keys, err := privacy.NewKeySet([]byte(theKey), nil)
	require.NoError(t, err)
	return keys
}

const (
	aJWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ." +
		"SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
	aPEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\n" +
		"KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END RSA PRIVATE KEY-----"
	letters36 = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
)

// found lists what each text holds, as detector and text.
var found = []struct {
	detector privacy.Detector
	texts    []string
}{
	{privacy.Email, []string{"john.doe@example.com", "o'brien+tag@sub.example.co.uk", "x@y.io", "jörg@müller.example.de", "a_b%c@xn--mller-kva.de",
		"root@db-1.internal.example", "u@example.xn--p1ai"}},
	{privacy.Phone, []string{"+14155552671", "+1 (415) 555-2671", "+1-415-555-2671", "+44 20 7946 0958", "+44 (0)20 7946 0958", "+442079460958",
		"+49 30 123456-78", "+33 1 23 45 67 89", "+81-3-1234-5678", "+91 98765 43210", "+353 1 234 5678", "+86 138 1234 5678",
		"(415) 555-2671", "415-555-2671", "415.555.2671", "1-800-555-0199", "(415)555-2671", "415 555 2671",
		"020 7946 0958", "07700 900123", "07700 900 123", "0117 496 0123", "01 23 45 67 89", "01.23.45.67.89", "030 12345678", "0171/2345678",
		"(030) 12345678", "02 9876 5432", "0412 345 678", "03-1234-5678", "090-1234-5678", "(020) 7946 0958"}},
	{privacy.Card, []string{"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "2223003122003222",
		"378282246310005", "3782 822463 10005", "371449635398431", "6011111111111117", "30569309025904", "3056 930902 5904", "38520000023237",
		"3530111333300000", "6200000000000005", "4222222222222", "6759649826438453", "5019717010103742", "2200000000000004",
		"4000 0000 0000 0000 006"}},
	{privacy.SSN, []string{"536-90-4399", "536 90 4399", "001-01-0001", "899-99-9999"}},
	{privacy.IBAN, []string{"GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00",
		"FR1420041010050500013M02606", "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "CH9300762011623852957"}},
	{privacy.IPv4, []string{"192.168.1.1", "8.8.8.8", "255.255.255.255", "127.0.0.1"}},
	{privacy.IPv6, []string{"2001:db8::1", "fe80::1", "::1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:192.0.2.128", "2001:db8::",
		"1:2:3:4:5:6:7:8"}},
	{privacy.JWT, []string{aJWT}},
	{privacy.PrivateKey, []string{aPEM, strings.ReplaceAll(aPEM, "RSA ", ""), strings.ReplaceAll(aPEM, "RSA ", "OPENSSH "),
		strings.ReplaceAll(aPEM, "RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"), strings.ReplaceAll(aPEM, "\n", `\n`)}},
	{privacy.AWS, []string{"AKIAIOSFODNN7EXAMPLE", "ASIAJ2345ABCDEFGHIJK"}},
	{privacy.GitHub, []string{"ghp_" + letters36, "gho_" + letters36, "ghs_" + letters36, "github_pat_" + letters36[:22] + "_" + letters36 + letters36[:23]}},
	{privacy.OpenAI, []string{"sk-" + letters36 + letters36[:12], "sk-proj-" + letters36 + "-" + letters36, "sk-" + letters36[:20] + "T3BlbkFJ" + letters36[:20],
		"sk-svcacct-" + letters36 + letters36}},
	{privacy.Anthropic, []string{"sk-ant-api03-" + letters36 + "-" + letters36 + "_AA", "sk-ant-admin01-" + letters36}},
	{privacy.Slack, []string{"xoxb-123456789012-1234567890123-" + letters36[:24], "xoxp-123456789012-123456789012-" + letters36[:24], "xapp-1-A012345678-1234567890-" + letters36}},
}

// around are texts with a place for what is found.
var around = []string{"%", "see % now", "(%)", "\"%\"", "it is %.", "a: %, and", "卡号%是", "first\n%\nlast", "<%>", "x=%&y=1", "\x00%\xff"}

// B64: every kind is found in a text, whatever stands around it.
func TestEveryKindIsFoundInText(t *testing.T) {
	p := protector(t, privacy.Detect)
	for _, kind := range found {
		for _, text := range kind.texts {
			for _, frame := range around {
				before, after, _ := strings.Cut(frame, "%")
				if strings.HasPrefix(text, "(") && strings.HasSuffix(before, "(") {
					continue
				}
				findings, err := p.Find(before + text + after)
				require.NoError(t, err)
				require.Equal(t, []privacy.Finding{
					{Detector: kind.detector, Mode: privacy.Detect, Start: len(before), End: len(before) + len(text)},
				}, findings, "%q", before+text+after)
			}
		}
	}
}

// assignments are texts with a value in angle brackets that is found.
var assignments = []string{
	"password=<hunter2>", "DB_PASSWORD=<letmein>", "password: <hunter2>", `"password": "<correct horse>"`, "pwd='<it is, this>'",
	"api_key=<abcd1234efgh>", "apiKey: <abcd1234efgh>", `{"access_token":"<a1b2c3d4e5>"}`, "X-Api-Key: <abcd1234efgh>",
	"Authorization: Bearer <abcd1234efgh>", "authorization: basic <dXNlcjpwYXNz1A>", "client_secret = '<s3cr3ts3cr3t>'",
	"secret := \"<s3cr3ts3cr3t>\"", "token => <s3cr3ts3cr3t>", "?a=1&token=<s3cr3ts3cr3t>&b=2", `\"password\":\"<hunter2>\"`,
	"the private key: <a1b2c3d4e5f6>.", "postgres.pass=<hunter2>", "SECRET_KEY+=<a1b2c3d4>", "password=<päßword>",
}

// The values of assignments are found.
func TestAssignmentsAreFound(t *testing.T) {
	p := protector(t, privacy.Detect)
	for _, text := range assignments {
		start, end := strings.IndexByte(text, '<'), strings.LastIndexByte(text, '>')-1
		text = text[:start] + text[start+1:end+1] + text[end+2:]
		findings, err := p.Find(text)
		require.NoError(t, err)
		require.Equal(t, []privacy.Finding{{Detector: privacy.Assignment, Mode: privacy.Detect, Start: start, End: end}}, findings, "%q", text)
	}
}

// nearMisses look like something and are not.
var nearMisses = []string{
	"4111111111111112", "4111-1111-1111-1112", "41111111111111111", "1111111111111117", "ORD-4111111111111111", "id4111111111111111",
	"0.4111111111111111", "4111111111111111.5", "#4111111111111111", "/orders/4111111111111111/x", "4111 1111-1111 1111", "9111111111111111",
	"4111-1111-1111-1111-1111", "3.4028234663852886", "1732653776123", "1732653776123456", "20241126204256",
	"666-12-3456", "000-12-3456", "912-12-3456", "123-00-4567", "123-45-0000", "078-05-1120", "219-09-9999", "123-45-67890", "1123-45-6789",
	"GB82WEST12345698765433", "DE8937040044053201300", "ZZ82WEST12345698765432", "XGB82WEST12345698765432", "gb82west12345698765432",
	"+1234567", "+1 015 555 2671", "+999 123 4567890", "123-456-7890", "415-155-2671", "911-555-2671", "+2500000 rows", "555-2671",
	"2024-11-26", "26-11-2024", "10 20 30 40 50", "1 2 415 555 2671", "00 11 22 33 44", "415-555-26711", "415-555-2671-12",
	"256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "foo-1.2.3.4", "1.2.3.4-5", "Chrome/1.2.3.4", "1.2.3.4+dfsg", "v1.2.3.4",
	"12:30:45", "00:1a:2b:3c:4d:5e", "00:11:22:33:44:55:66:77", "std::vector", "Foo::Bar", "dead::beef", "::", "a::b", "1::", "1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:8:9", "12345::1", "2001:db8:::1", "2001:db8::1::2", "Acme::1234",
	"@handle", "user@localhost", "lodash@4.17.21", "icon@2x.png", "a..b@example.com", "a.@example.com", "@example.com", "x@-a.com", "a@b@",
	"eyJhbGciOiJIUzI1NiJ9.e30", "eyJmb28iOiJiYXIifQ.eyJmb28iOiJiYXIifQ.abc", "eyJhbGci",
	"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----",
	"AKIA1234", "AKIAIOSFODNN7EXAMPL1", "XAKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLEX", "ghp_short", "gha_" + letters36, "github_pat_short",
	"sk-folding-cube", "sk-ant-x", "sk-learn-" + "a-very-long-name-of-a-package-without-digits", "xoxb-1234", "xoxz-" + letters36,
	"de305d54-75b4-431b-adb2-eb6b9e546014", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"author=JohnSmith1234", "total_tokens=12345678", "tokenizer: bert-base-1234", "token_count=12345678", "password=", "password: must be long",
	"password=${DB_PASSWORD}", "password=<password>", "password=********", "password == other1", "password != other1", "token: none",
	"has_password=yes12345", "password = getPassword()", "token = tokens[0]", "secret: true", "max_token: a1b2c3d4e5", "api_key=config.key",
	"https://token:x", "password=aaaaaa", "key=a1b2c3d4e5", "forgot password? x1", "the token: short",
}

// What looks like something and is not is left alone.
func TestNearMissesAreLeftAlone(t *testing.T) {
	p := protector(t, privacy.Detect)
	for _, text := range nearMisses {
		findings, err := p.Find(text)
		require.NoError(t, err)
		require.Empty(t, findings, "%q", text)
	}
}

// B64: names of fields are read by whole words.
func TestNamesAreReadByWholeWords(t *testing.T) {
	for _, name := range []string{"password", "Password", "user_password", "userPassword", "PASSWORD_HASH", "db.pass", "pass", "token", "authToken",
		"access-token", "accessTokens", "api_key", "APIKey", "apikey", "x-api-key", "privateKey", "client secret", "credentials", "auth",
		"authorization", "secret_key_base", "ssn", "cvv", "oauth2_token", "socialSecurityNumber", "card_number", "session_key", "Set-Cookie",
		"tokenValue", "pwd2"} {
		require.True(t, privacy.Sensitive(name), name)
	}
	for _, name := range []string{"", "author", "authors", "authentic", "total_tokens", "tokens", "prompt_tokens", "tokenizer", "token_count",
		"token_type", "maxToken", "has_password", "password_policy", "passenger", "compass", "bypass", "first_pass", "pass_rate", "key", "keys",
		"public_key", "primaryKey", "monkey", "secretary", "auth_method", "is_secret", "session_id", "tokenization", "pincode", "number",
		"token_expires_at", "a_name_of_which_one_word_issolongthatitcannotbeanything"} {
		require.False(t, privacy.Sensitive(name), name)
	}
}

// A finding that another one holds is part of it; one that reaches beyond stretches it.
func TestFindingsDoNotOverlap(t *testing.T) {
	p := protector(t, privacy.Detect)
	for text, want := range map[string]string{
		"token=" + aJWT:                            "jwt", // the same bytes: the more specific one
		"password=john@example.com!":               "assignment",
		"password: x1@example.com,ab":              "email",
		"::ffff:192.0.2.128":                       "ipv6",
		"4111111111111111@example.com":             "email",
		"api_key=sk-" + letters36 + "aB3dE6gH9jK2": "openai",
	} {
		findings, err := p.Find(text)
		require.NoError(t, err)
		require.Len(t, findings, 1, text)
		require.Equal(t, want, findings[0].Detector.String(), text)
	}
}

// What is refused goes before what is replaced, and this before what is only reported, so that
// an outer finding that is left as it is does not shield an inner one.
func TestStricterModesGoFirst(t *testing.T) {
	text := "write to 4111111111111111@example.com or x@example.com"
	for _, c := range []struct {
		card, email privacy.Mode
		want        []privacy.Detector
	}{
		{privacy.Detect, privacy.Redact, []privacy.Detector{privacy.Email, privacy.Email}},
		{privacy.Redact, privacy.Detect, []privacy.Detector{privacy.Card, privacy.Email}},
		{privacy.Block, privacy.Redact, []privacy.Detector{privacy.Card, privacy.Email}},
		{privacy.Redact, privacy.Redact, []privacy.Detector{privacy.Email, privacy.Email}},
	} {
		p, err := privacy.New(&privacy.Policy{Modes: map[privacy.Detector]privacy.Mode{privacy.Card: c.card, privacy.Email: c.email}}, nil)
		require.NoError(t, err)
		findings, err := p.Find(text)
		require.NoError(t, err)
		var got []privacy.Detector
		for _, f := range findings {
			got = append(got, f.Detector)
		}
		require.Equal(t, c.want, got)
	}
}

// P3: an input made to be slow takes no longer than others. Were a matcher to look further
// from each place where it may begin, this test would not end.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	p := protector(t, privacy.Detect)
	size := 1 << 20
	if testing.Short() {
		size = 1 << 16
	}
	for _, unit := range []string{"@", "a@", "a.@a.", "1", "1 ", "1234 ", "1234-", "1.", "+1", "+1 ", "(1", ":", "::", "a:", "1:2:", "eyJ", "eyJ.", "eyJa-",
		"eyJhbGciOiJIUzI1NiJ9.eyJ.", "-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", "sk-", "sk-ant-a-", "ghp_", "xoxb-",
		"A", "GB82", "AKIA", "password=", "password:", "password=\"", "password='\"`", "token:a1", "password = ", "[", "[hash:card:", "[redacted:card]", "é", "a b ", "\xff",
		"415 ", "01 ", "a1b2c3d4:", "password=a1.", "'"} {
		_, err := p.Find(strings.Repeat(unit, size/len(unit)))
		require.NoError(t, err)
	}
}

// P5.
func TestCleanTextsCostNoAllocation(t *testing.T) {
	p := protector(t, privacy.Redact)
	var clean any = strings.Repeat("A clean line: 12 of 1024 tokens, see https://example.com/a=b at 12:30:45; order 2024-11-26 (x).\n", 50)
	findings, err := p.Find(clean)
	require.NoError(t, err)
	require.Empty(t, findings)
	require.Zero(t, testing.AllocsPerRun(50, func() {
		if out, _, err := p.Protect(clean); err != nil || out == nil {
			t.Error(err)
		}
	}))
}

// P5, for what a matcher has looked at and left alone.
func TestNearMissesCostNoAllocation(t *testing.T) {
	p := protector(t, privacy.Redact)
	for _, text := range nearMisses {
		var near any = text
		require.Zero(t, testing.AllocsPerRun(3, func() {
			if _, _, err := p.Protect(near); err != nil {
				t.Error(err)
			}
		}), "%q", text)
	}
}

// Offsets are those of bytes, between runes, and the text there is what was found.
func TestOffsetsAreOfBytes(t *testing.T) {
	p := protector(t, privacy.Detect)
	text := "日本語 4111111111111111、jörg@example.de ✓ +14155552671"
	findings, err := p.Find(text)
	require.NoError(t, err)
	var got []string
	for _, f := range findings {
		got = append(got, text[f.Start:f.End])
	}
	require.Equal(t, []string{"4111111111111111", "jörg@example.de", "+14155552671"}, got)
}

// Detectors have names that parse.
func TestDetectorsHaveNames(t *testing.T) {
	var names []string
	for d := range privacy.Field + 1 {
		parsed, err := privacy.ParseDetector(d.String())
		require.NoError(t, err)
		require.Equal(t, d, parsed)
		names = append(names, d.String())
	}
	slices.Sort(names)
	require.Len(t, slices.Compact(names), int(privacy.Field)+1)
	_, err := privacy.ParseDetector("nothing")
	require.ErrorIs(t, err, privacy.ErrInvalidPolicy)
}
