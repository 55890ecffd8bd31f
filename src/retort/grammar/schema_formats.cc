#include <string>
#include <unordered_map>

#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/schema_compiler.h"

namespace retort::grammar {
namespace {

// RFC 3339, section 5.6. A leap second (":60") only at the minute that is 23:59 UTC.
constexpr std::string_view kFullDate =
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|"
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
constexpr std::string_view kOffset = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

std::string LeapSeconds() {
  // hh:mm:60 with an offset that makes it 23:59 UTC: local = 23:59 + offset.
  std::string out = "23:59:60(?:\\.[0-9]+)?[Zz]";
  const auto two = [](int value) {
    return std::string(1, static_cast<char>('0' + value / 10)) +
           static_cast<char>('0' + value % 10);
  };
  // Offsets of whole and half hours: those in use, and few enough to write down.
  for (int hours = 0; hours < 24; ++hours) {
    for (int minutes = 0; minutes < 60; minutes += 30) {
      for (const int sign : {1, -1}) {
        const int local = (23 * 60 + 59 + sign * (hours * 60 + minutes) + 2880) % 1440;
        out += "|" + two(local / 60) + ":" + two(local % 60) + ":60(?:\\.[0-9]+)?" +
               (sign > 0 ? "\\+" : "-") + two(hours) + ":" + two(minutes);
      }
    }
  }
  return "(?:" + out + ")";
}

std::string FullTime() {
  return "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?" + std::string(kOffset);
}

// RFC 3986, appendix A; `ucs` adds RFC 3987's characters.
struct UriParts {
  std::string reference;
  std::string absolute;  // with scheme
};

std::string Ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string octet = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
  const std::string ipv4 = "(?:" + octet + "\\.){3}" + octet;
  const std::string ls32 = "(?:" + h + ":" + h + "|" + ipv4 + ")";
  std::string out = "(?:" + h + ":){6}" + ls32 + "|::(?:" + h + ":){5}" + ls32;
  for (int left = 0; left <= 4; ++left) {
    const std::string before = "(?:(?:" + h + ":){0," + std::to_string(left) + "}" + h + ")?::";
    const int right = 4 - left;
    out += "|" + before + "(?:" + h + ":){" + std::to_string(right) + "}" + ls32;
  }
  out += "|(?:(?:" + h + ":){0,5}" + h + ")?::" + h;
  out += "|(?:(?:" + h + ":){0,6}" + h + ")?::";
  return "(?:" + out + ")";
}

UriParts Uri(bool ucs) {
  const std::string more =
      ucs ? "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{EFFFD}" : "";
  const std::string iprivate = ucs ? "\\uE000-\\uF8FF\\u{F0000}-\\u{10FFFD}" : "";
  const std::string unreserved = "A-Za-z0-9._~\\-" + more;
  const std::string sub = "!$&'()*+,;=";
  const std::string pct = "%[0-9A-Fa-f]{2}";
  const std::string pchar = "(?:[" + unreserved + sub + ":@]|" + pct + ")";
  const std::string no_colon = "(?:[" + unreserved + sub + "@]|" + pct + ")";
  const std::string query = "(?:[" + unreserved + sub + ":@/?" + iprivate + "]|" + pct + ")*";
  const std::string fragment = "(?:[" + unreserved + sub + ":@/?]|" + pct + ")*";
  const std::string user = "(?:(?:[" + unreserved + sub + ":]|" + pct + ")*@)?";
  const std::string future = "[vV][0-9A-Fa-f]+\\.[A-Za-z0-9._~\\-!$&'()*+,;=:]+";
  const std::string host =
      "(?:\\[(?:" + Ipv6() + "|" + future + ")\\]|(?:[" + unreserved + sub + "]|" + pct + ")*)";
  const std::string authority = user + host + "(?::[0-9]*)?";
  const std::string abempty = "(?:/" + pchar + "*)*";
  const std::string absolute = "/(?:" + pchar + "+(?:/" + pchar + "*)*)?";
  const std::string tail = "(?:\\?" + query + ")?(?:#" + fragment + ")?";
  const std::string rootless = pchar + "+(?:/" + pchar + "*)*";
  const std::string noscheme = no_colon + "+(?:/" + pchar + "*)*";
  const std::string scheme = "[A-Za-z][A-Za-z0-9+.\\-]*:";
  UriParts parts;
  parts.absolute =
      scheme + "(?://" + authority + abempty + "|" + absolute + "|" + rootless + "|)" + tail;
  parts.reference = "(?:" + parts.absolute + "|(?://" + authority + abempty + "|" + absolute + "|" +
                    noscheme + "|)" + tail + ")";
  return parts;
}

std::string Hostname() {
  // No label has "--" at its third and fourth place: RFC 5890 keeps these, but for punycode
  // ("xn--"), which is no regular language and left out.
  const std::string a = "[A-Za-z0-9]";
  const std::string x = "[A-Za-z0-9\\-]";
  const std::string label = a + "(?:" + a + "|" + x + a + "|" + x + x + a + "|" + x + "(?:" + a +
                            x + "|-" + a + ")" + x + "{0,58}" + a + ")?";
  return label + "(?:\\." + label + ")*";
}

std::string Email() {
  const std::string atext = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]+";
  const std::string local =
      "(?:" + atext + "(?:\\." + atext + ")*|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")";
  const std::string octet = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
  return local + "@(?:" + Hostname() + "|\\[(?:(?:" + octet + "\\.){3}" + octet +
         "|IPv6:" + Ipv6() + ")\\])";
}

std::string UriTemplate() {
  const std::string pct = "%[0-9A-Fa-f]{2}";
  const std::string literal =
      "(?:[!#$&'(-;=?-\\[\\]_a-z~\\u00A0-\\uD7FF\\uE000-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{"
      "10FFFD}]|" +
      pct + ")";
  const std::string varchar = "(?:[A-Za-z0-9_]|" + pct + ")";
  const std::string spec = varchar + "(?:\\.?" + varchar + ")*(?::[1-9][0-9]{0,3}|\\*)?";
  return "(?:" + literal + "|\\{[+#./;?&=,!@|]?" + spec + "(?:," + spec + ")*\\})*";
}

std::string PatternOf(std::string_view name) {
  std::string pointer = "(?:/(?:[^/~]|~[01])*)*";
  if (name == "date") return std::string(kFullDate);
  if (name == "time") return FullTime() + "|" + LeapSeconds();
  if (name == "date-time") {
    return std::string(kFullDate) + "[Tt](?:" + FullTime() + "|" + LeapSeconds() + ")";
  }
  if (name == "duration") {
    const std::string time = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";
    const std::string date = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)";
    return "P(?:" + date + "(?:" + time + ")?|" + time + "|[0-9]+W)";
  }
  if (name == "email") return Email();
  if (name == "hostname") return Hostname();
  if (name == "ipv4") {
    const std::string octet = "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
    return "(?:" + octet + "\\.){3}" + octet;
  }
  if (name == "ipv6") return Ipv6();
  if (name == "uri") return Uri(false).absolute;
  if (name == "uri-reference") return Uri(false).reference;
  if (name == "iri") return Uri(true).absolute;
  if (name == "iri-reference") return Uri(true).reference;
  if (name == "uuid") {
    return "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";
  }
  if (name == "uri-template") return UriTemplate();
  if (name == "json-pointer") return pointer;
  if (name == "relative-json-pointer") return "(?:0|[1-9][0-9]*)(?:#|" + pointer + ")";
  return "";
}

}  // namespace

std::span<const std::string_view> FormatNames() {
  static constexpr std::string_view kNames[] = {
      "date",         "time",          "date-time",
      "duration",     "email",         "idn-email",
      "hostname",     "idn-hostname",  "ipv4",
      "ipv6",         "uri",           "uri-reference",
      "iri",          "iri-reference", "uuid",
      "uri-template", "json-pointer",  "relative-json-pointer",
      "regex"};
  return kNames;
}

Regex FormatRegex(std::string_view name, const Limits& limits, RegexPool* pool) {
  if (name == "regex" || name == "idn-email" || name == "idn-hostname") return kNothing;
  Regex language = ParseRegex(PatternOf(name), RegexDialect::kEcma, false, limits, pool);
  const Regex any = pool->Set(CodePointSet::Any());
  if (name == "hostname") {
    language = pool->And(language, pool->Repeat(any, 0, 253));
  }
  return language;
}

}  // namespace retort::grammar
