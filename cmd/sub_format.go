package cmd

import (
	"errors"
	"slices"
	"strings"

	"mqt/format"
	"mqt/format/codec"
)

// The forms of --output. Those of outputCodecs, which MQTTX has too, stand for
// --decode of every payload.
const (
	outputRaw     = "raw"
	outputHex     = "hex"
	outputBase64  = "base64"
	outputHexdump = "hexdump"
	outputPretty  = "pretty"
	outputHuman   = "human"
)

func outputForms() []string {
	return []string{outputRaw, outputHex, outputBase64, outputHexdump, outputPretty, outputHuman}
}

func outputCodecs() []string { return []string{"json", "cbor", "msgpack"} }

// outputCodec tells that --output names a codec.
func (o *subOptions) outputCodec() bool { return slices.Contains(outputCodecs(), o.output) }

// formatFlags are those of payloads.
func (o *subOptions) formatFlags() []*option {
	const g = group("Output")
	forms := slices.Concat(outputForms(), outputCodecs())
	return []*option{
		g.value("output", "print payloads as `FORM`: "+strings.Join(outputForms(), ", ")+", or "+strings.Join(outputCodecs(), ", ")+" as --decode does", func(s string) error {
			if !slices.Contains(forms, s) {
				return errors.New("it is " + strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1])
			}
			o.output = s
			return nil
		}).oneOf(forms...),
		g.list("decode", "decode payloads of topics that match: `FILTER=CODEC`[:ARGS][|CODEC...] with "+strings.Join(codec.Names(), ", ")+"; may be repeated, the first that matches is taken", &o.decode),
	}
}

// textPrinter is the output's form where neither -F nor JSON gives one.
func (o *subOptions) textPrinter(s *Stdio) (format.Printer, error) {
	style := o.color.style(s.Out)
	if o.watch && slices.Contains([]string{outputHexdump, outputPretty, outputHuman}, o.output) {
		return nil, &usageError{text: "--watch and --output " + o.output + " do not go together", hint: "each topic has a line"}
	}
	if o.output == outputHuman {
		return &format.Human{Style: style}, nil
	}
	text := &format.Text{Topic: o.verbose || o.watch, NoEOL: o.noEOL, Style: style, Pretty: o.pretty || o.output == outputPretty}
	switch o.output {
	case outputHex:
		text.Encoding = format.Hex
	case outputBase64:
		text.Encoding = format.Base64
	case outputHexdump:
		text.Encoding = format.Hexdump
	default:
		if isTerminal(s.Out) || o.watch {
			text.Encoding = format.Escaped
		}
	}
	if o.pretty && o.output != outputPretty && len(o.decode) == 0 && !o.outputCodec() {
		return nil, &usageError{text: "--pretty indents JSON", hint: "add --json, --output pretty, --decode, or -F with %j"}
	}
	return text, nil
}
