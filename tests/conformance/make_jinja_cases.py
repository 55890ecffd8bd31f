#!/usr/bin/env python3
"""Writes jinja_cases.jsonl: templates with what Python's Jinja2 makes of them.

Run in an environment with jinja2 3.1 (`pip install jinja2`):
    python make_jinja_cases.py > jinja_cases.jsonl
The environment is that of Hugging Face's chat templates. A case is one line: template, context,
then `ok` (the text) or `error` (the kind of error; only that there is one counts).
"""
import json
import sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(lineno)

    def _pass(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENV = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception

CONTEXT = {
    "s": "Hello World", "u": "né 東京 ß", "n": 7, "f": 2.5, "t": True, "z": None, "e": "", "neg": -3,
    "words": ["b", "A", "c", "B"], "nums": [3, 1, 2], "d": {"b": 1, "a": [1, 2], "items": "own"},
    "people": [{"name": "Ann", "age": 30, "x": {"y": 1}}, {"name": "bob", "age": 25, "x": {"y": 2}},
               {"name": "Cid", "age": 30, "x": {"y": 3}}],
    "html": "<b>&'\"</b>", "multi": "one\ntwo\n\nthree", "q": "it's \"q\" \\ \t\u200b",
}

# Expressions, each rendered between braces.
EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3
2 ** 10, 2 ** -1, -2 ** 2, 2 ** 3 ** 2
7.5 // 2, -7.5 % 2, 1e3, 1.5e-7, 1e16, 123456789.125, 0.1 + 0.2
1_000, 0x1F, 0b101, 0o17
1 / 0
1 % 0
1.5 // 0
'a' * 3, 3 * 'ab', [1] * 2, (1,) * 2, 'a' * -1
'a' + 1
1 + 'a'
[1] + [2], (1,) + (2,)
[1] + (2,)
1 ~ 'a' ~ none ~ true ~ 1.0 ~ [1, 'x']
true + true, true * 3, -true, +true
1 == 1.0, 1 == true, '1' == 1, [1] == [1.0], {'a': 1} == {'a': 1.0}, none == false
1 < 2 < 3, 1 < 3 < 2, 3 > 2 >= 2 != 1
'a' < 'b', [1, 2] < [1, 3], (1,) < (1, 0), 'é' > 'z'
1 < 'a'
none < 1
[1] < (1,)
'el' in s, 'x' not in s, 3 in nums, 'b' in d, 2 in (1, 2), '' in s
1 in s
1 in 5
not t, not e, not [], not 0.0, not none
t and 5, e and 5, z or 'x', e or z or 0, 0 and 1 or 2
t and n or s, not t or n
s if t, s if z, s if z else 'no', 'a' if e else 'b' if n else 'c'
(s if z).x
missing, missing | default('d'), missing ~ 'x', missing | length, missing is defined
missing.x
missing.x is defined
missing['x']
missing + 1
missing()
d.missing.x
d.missing, d['missing'], d.get('missing'), d.get('missing', 3), d.missing is undefined
z.x, z['x'], n.x, n['x'] is defined
z.x.y
none[0] is defined, 5[0] is defined, s['nope'] is defined
d.items, d['items'] if false
d['items'], d.items() | list, d.keys() | list, d.values() | list
d.keys(), d.items(), d.values()
d.b, d['b'], d.a.0, d.a[1], d.a[-1], d.a[5] is defined
s[0], s[-1], s[99] is defined, u[3], u[-1], u[::-1]
s[1:4], s[:-1], s[-3:], s[::2], s[::-1], s[5:2], s[2:100], s[-100:2], s[4:0:-2]
nums[1:], nums[:2], nums[::-1], nums[-1:], nums[5:], (1, 2, 3)[1:], range(10)[2:5] | list
nums['a':]
nums[::0]
d[1:2]
z[1:2]
n[0:1]
range(3) | list, range(1, 4) | list, range(5, 0, -2) | list, range(0), range(2, 5), range(0, 6, 2)
range(1, 2, 0)
range(1000000)
range('a')
range(1.5)
range(3)[1], range(5)[-1], 3 in range(5), range(3) | length, range(3) == range(0, 3)
[1, 'a', none, true, 1.5, [2], {'k': 'v'}, (1,), ()]
{'a': 1, 'b': {'c': [none]}, 1: 2, none: 3, 1.5: 'x', true: 4}
{[1]: 2}
{'a': 1, 'a': 2}
q, [q], ["it's"], ['"'], ['\'"'], ['\n\t\x01é\u200b\U0001F600']
'\x41\u00e9\101\q\\', "a\
b"
"a" "b" 'c'
'%s is %d years, %5.2f|%-5s|%05d|%x|%r|%%' % (s, n, f, 'a', n, 255, 'q')
'%s' % s, '%(a)s-%(b)d' % {'a': 1, 'b': 2}, '%s' % [1, 2], '%c' % 65
'%s %s' % s
'%d' % 'a'
'%s' % (1, 2)
'%+d % d %#x %o %e %g %G %.3s|%8.3f|%-8d|' % (5, 5, 255, 8, 12345.678, 0.00001, 1e20, 'abcdef', 3.14159, 42)
'{} {} {0}'.format(1, 2) if false else '{} {}'.format(1, 2)
'{0} {1} {0}'.format('a', 'b'), '{a}-{b}'.format(a=1, b=2), '{{}}'.format(), '{0[1]} {1.name}'.format([1, 2], people[0])
'{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:,}|{:.2f}|{:+d}|{:x}|{:%}|{!r}'.format('a', 'b', 'c', 'd', 42, 1234567, 3.14159, 5, 255, 0.5, 'q')
'{} {}'.format(1)
'{a}'.format(b=1)
'{:d}'.format('a')
s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), u.upper(), u.lower(), 'ß'.capitalize()
"they're bill's".title(), "x-y z_w 3d".title()
'  a b '.strip() ~ '|', '  a '.lstrip() ~ '|', ' a  '.rstrip() ~ '|', 'xxaxx'.strip('x'), 'abcba'.strip('ab'), '\u3000x\u00a0'.strip()
s.split(), s.split(' '), s.split('o', 1), 'a,b,,c'.split(','), '  a  b '.split(), '  a  b  c '.split(none, 1), ''.split(), ''.split(',')
s.split('')
'a b c'.rsplit(' ', 1), 'a b c'.rsplit(), ' a b  c '.rsplit(none, 1), 'a--b--c'.rsplit('--', maxsplit=1)
multi.splitlines(), 'a\r\nb\rc\n'.splitlines(), 'a\nb\n'.splitlines(true), ''.splitlines()
'a-b-c'.partition('-'), 'abc'.partition('-'), 'a-b-c'.rpartition('-'), 'abc'.rpartition('-')
s.find('o'), s.rfind('o'), s.find('zz'), s.index('W'), s.find('o', 5), s.find('l', 0, 3), u.find('京'), s.find('', 99)
s.index('zz')
s.count('l'), s.count(''), s.count('o', 5), 'aaaa'.count('aa')
s.startswith('He'), s.startswith(('x', 'H')), s.endswith('ld'), s.startswith('W', 6), s.endswith('lo', 0, 5)
s.startswith(1)
s.startswith(['H'])
s.replace('l', 'L'), s.replace('l', 'L', 1), 'ab'.replace('', '-'), 'ab'.replace('', '-', 2), u.replace('東', 'x')
'-'.join(words), ''.join([]), ', '.join('abc')
'-'.join([1, 2])
'a'.center(6) ~ '|', 'ab'.center(5, '*'), 'a'.ljust(4, '.'), 'a'.rjust(4), '42'.zfill(5), '-42'.zfill(5), 'abc'.zfill(2)
'a'.center(5), 'ab'.center(7, '-'), 'abc'.center(6, '-'), 'abcd'.center(7, '-')
'abc'.isalpha(), 'ab1'.isalnum(), '12'.isdigit(), ''.isdigit(), '²'.isdigit(), '½'.isnumeric(), ' \t'.isspace(), 'Ab'.istitle(), 'AB'.isupper(), 'ab1'.islower(), 'é'.isascii(), ''.isascii()
'a\tbc\td'.expandtabs(4), 'TestHook'.removeprefix('Test'), 'abc'.removesuffix('bc'), 'abc'.removeprefix('x')
nums.index(1), nums.count(3), words.index('c'), (1, 2, 1).count(1)
nums.index(99)
nums.append(4)
d.update({'x': 1})
d.pop('b')
nums.pop
nums.sort is defined, d.update is defined, d.pop is callable
s.__class__, s.__class__ is defined
s.__class__.mro()
2.5.is_integer() if false else f.is_integer(), 3.0.is_integer()
words | sort, words | sort(reverse=true), words | sort(case_sensitive=true), nums | sort, [] | sort
[1, 'a'] | sort
people | sort(attribute='age') | map(attribute='name') | list, people | sort(attribute='age,name', reverse=true) | map(attribute='name') | join
people | map(attribute='x.y') | list, people | map('length') | list, words | map('upper') | join(','), nums | map('string') | list
people | map(attribute='nope') | list, people | map(attribute='nope', default='d') | list
words | map('nope') | list
people | map
people | selectattr('age', 'equalto', 30) | map(attribute='name') | list, people | rejectattr('age', '>', 26) | list | length, people | selectattr('name') | list | count
nums | select('odd') | list, nums | reject('odd') | list, [0, 1, '', 'a', none] | select | list, nums | select('in', [1, 2]) | list, nums | select('>', 1) | list
nums | select('nope') | list
words | unique | list, words | unique(case_sensitive=true) | list, [1, 1.0, true, 2] | unique | list
people | groupby('age'), people | groupby('age') | map(attribute='grouper') | list
people | groupby('age') | map(attribute=1) | map('length') | list
nums | min, nums | max, words | min, words | max(case_sensitive=true), [] | min, people | max(attribute='age')
nums | sum, people | sum(attribute='age'), nums | sum(start=10), [] | sum
words | sum
nums | first, nums | last, [] | first, s | first, s | last, d | first, [] | last
5 | first
nums | reverse | list, s | reverse, d | reverse | list, (1, 2) | reverse | list
nums | list, s[:3] | list, d | list
n | list
nums | length, s | length, u | count, d | length
n | length
nums | batch(2) | list, nums | batch(2, 'x') | list, range(7) | slice(3) | list, range(7) | slice(3, 'x') | list
nums | join, nums | join(', '), people | join('|', attribute='name'), s | join('-'), missing | join, [none, true, 1.0] | join(' ')
n | join
d | items | list, missing | items | list, d | dictsort, d | dictsort(reverse=true), {'B': 2, 'a': 1, 'C': 0} | dictsort, {'B': 2, 'a': 1} | dictsort(true), {'b': 2, 'a': 3} | dictsort(by='value')
nums | items | list
d | dictsort(by='x')
s | upper, s | lower, s | title, 'foo-bar (baz) 3x' | title, 'hELLO wORLD' | capitalize, z | upper, n | upper
html | e, html | escape | e, html | forceescape, html | safe | e, html | safe + '<', '<' + html | safe, html | safe ~ '<', (html | safe).upper() + '&'
html | e | forceescape, n | e, html | string | e, html | safe | string + '<'
[html | safe], html | safe is escaped, html is escaped, html | e is escaped
html | safe | replace('b', '<i>'), html | safe | trim + '<', (html | safe)[0:1] + '<', html | safe * 2
s | replace('o', '0'), s | replace('o', '0', 1), 112 | replace(1, 'x')
'  x ' | trim ~ '|', 'xxaxx' | trim('x'), n | trim, none | trim
s | center(15) ~ '|', 'abc' | center(4) ~ '|'
multi | indent, multi | indent(2, true), multi | indent(2, false, true), multi | indent('> ', true, true), '' | indent(3, true) ~ '|'
n | indent
'a b c d e f' | truncate(5), 'a b c d e f' | truncate(5, false, '', 0), 'abcdefghij' | truncate(6, true, '...', 0), 'short' | truncate
'x' | truncate(1)
'a bb, c-d é' | wordcount, '' | wordcount
'42' | int, '4.7' | int, 'x' | int, 'x' | int(9), '0x1F' | int(0, 16), '1f' | int(base=16), 4.9 | int, -4.9 | int, true | int, none | int, ' 5 ' | int, '1_0' | int, '' | int, [] | int(3)
missing | int
'4.5' | float, 'x' | float, 'x' | float(1.5), 3 | float, '1e3' | float, 'inf' | float, none | float(2.0), '-1.5' | float
-3 | abs, -2.5 | abs, neg | abs, true | abs
s | abs
2.5 | round, 3.5 | round, -2.5 | round, 2.567 | round(2), 2.5 | round(0, 'ceil'), 2.5 | round(method='floor'), 7 | round, 1234 | round(-2), 0.125 | round(2), 2.675 | round(2)
s | round
2.5 | round(1, 'x')
'%s-%s' | format(1, 'a'), '%(x)s' | format(x=2)
0 | filesizeformat, 1 | filesizeformat, 999 | filesizeformat, 12345 | filesizeformat, 1048576 | filesizeformat(true), 1e15 | filesizeformat
'a b/c?é&' | urlencode, {'a b': 1, 'c': 'é/'} | urlencode
s | attr('upper') is callable, d | attr('b') is defined
d | tojson, d | tojson(indent=2), [] | tojson(indent=2), d | tojson(separators=(',', ':')), d | tojson(sort_keys=true), u | tojson, u | tojson(ensure_ascii=true), html | tojson, q | tojson
[1, 1.0, 1e20, true, none, 'x', (1, 2), 0.1, 1e-7] | tojson, {1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson, [[], {}, [[]]] | tojson(indent=1)
'\x7f\x1f\u2028' | tojson, '😀' | tojson(ensure_ascii=true)
missing | tojson
nums | map('abs') | tojson
range(3) | tojson
{(1, 2): 3} | tojson
d | tojson(nope=1)
missing | default, missing | default(none), e | default('x'), e | default('x', true), z | default('x'), z | d('x', boolean=true), 0 | default(5, true)
s | nope
s | default(1, 2, 3)
s | upper(1)
n is odd, n is even, n is divisibleby 7, n is divisibleby(2), n is not odd
s is odd
n is number, t is number, f is float, n is integer, t is integer, t is boolean, s is string, z is none, d is mapping, nums is sequence, s is sequence, d is sequence, n is sequence, nums is iterable, s is iterable, n is iterable, z is iterable
(nums | map('abs')) is sequence, (nums | map('abs')) is iterable, range(3) is sequence, d.keys() is sequence, d.keys() is iterable, missing is iterable, missing is sequence
t is true, t is false, 1 is true, e is false, s is lower, 'abc' is lower, 'ABC' is upper, 'A1' is upper, '1' is upper
n is eq 7, n is equalto(7), n is ne 8, n is lt 8, n is ge 7, n is greaterthan 3, n is in nums, 3 is in(nums), 'x' is in 'xyz'
n is == 7
z is sameas none, t is sameas true, 1 is sameas 1.0, n is sameas n
'upper' is filter, 'nope' is filter, 'odd' is test, 'nope' is test
s.upper is callable, n is callable, range is callable, missing is callable, namespace is defined
n is nope
n is divisibleby
n is
people[0].name ~ people[-1]['name'], people | length > 2 and people[0].age == 30
d.a | first + 1, -n | abs, -(n | abs), - n + 1, not n is odd, not 3 in nums
1 if t else 2 + 3, (1 if t else 2) + 3, [1, 2][0] if t
dict(a=1, b=2), dict({'x': 1}, y=2), dict([['k', 'v']])
dict(1)
(1, 2), (1,), (), 1, ((1))
nums | map('abs'), words | unique
s.upper
cycler('a', 'b').next(), joiner('|')() ~ 'x'
people[0] | length, people[0].x.y.z is defined, people[0].x['y']
n.real is defined if false, 'abc'['upper']()
'a' 'b' ~ 'c' * 2, 'x' in 'xyz' ~ 'w'
1 in [1] in [[1]], 1 == 1 in [true]
'é' | upper ~ 'É' | lower ~ 'ǆ' | capitalize, 'İ'.lower() | length
nums == [3, 1, 2] and nums != (3, 1, 2)
[1, 2, 3,], {'a': 1,}, (1, 2,), range(3,) | list
s(1)
5(1)
d.b.c.d
1 +
(1
[1, 2
{'a' 1}
s |
s.
s[]
'unclosed
a b
1 = 2
x is not
* 2
007
1.
'\xZZ'
$
!x
"""

# Whole templates.
TEMPLATES = [
    "{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}|{% endfor %}",
    "{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in nums %}{{ loop.previtem.y }}{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}", "{% for x in nums if x > 5 %}a{% else %}none{% endfor %}",
    "{% for x in nums if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in nums if loop.first %}{{ x }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in ['xy'] %}{{ b }}{% endfor %}",
    "{% for x in n %}{% endfor %}", "{% for x in z %}{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}",
    "{% for x in nums %}{% if loop.index == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in nums %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% break %}", "{% for x in nums %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for x in nums %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}",
    "{% for x in [1, [2, [3]]] recursive %}{{ loop.depth }}{{ loop.depth0 }}{% if x is number %}{{ x }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}",
    "{% for x in nums %}{{ loop(nums) }}{% endfor %}", "{{ loop }}|{{ loop is defined }}",
    "{% for x in nums %}{% for y in words %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in nums %}{% set o = loop %}{% for y in [1] %}{{ o.index }}{% endfor %}{% endfor %}",
    "{% set it = nums | map('abs') %}{% for x in it %}{{ x }}{% break %}{% endfor %}|{% for x in it %}{{ x }}{% endfor %}",
    "{% for x in nums | map('abs') %}{{ loop.length }}{{ loop.last }}{% endfor %}",
    "{% for x in nums recursive if x %}{% endfor %}", "{% for x, in [(1,)] %}{{ x }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for loop in nums %}{% endfor %}", "{% for x in nums %}{% else %}{% else %}{% endfor %}", "{% for x in nums %}", "{% endfor %}",
    "{% set x = 1 %}{% for i in nums %}{% set x = i %}{% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for i in nums %}{{ y }}{% set y = i %}{{ y }};{% endfor %}", "{% if z %}{% set n = 1 %}{% endif %}{{ n }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = b, a %}{{ a }}", "{% set a = b = 1 %}", "{% set 1 = 2 %}", "{% set none = 2 %}", "{% set a.b = 2 %}", "{% set d.x = 2 %}", "{% set missing.x = 2 %}",
    "{% set ns = namespace(a=1) %}{% for i in nums %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}", "{% set ns = namespace() %}{{ ns.x.y }}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}|{{ x is string }}", "{% set x | upper | replace('A', 'x') %}a{{ s }}{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}", "{% set ns = namespace() %}{% set ns.x %}q{% endset %}{{ ns.x }}",
    "{% with %}{% set q1 = 1 %}{% endwith %}{{ q1 }}", "{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with n=1, m=n %}{{ n }}{{ m }}{% endwith %}", "{% with a %}{% endwith %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, c=3) }}|{{ m(b=5) }}|{{ m() }}", "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}|{{ m() }}",
    "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(x) %}{% if x %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}", "{% macro m() %}{{ v1 }}{% endmacro %}{% set v1 = 1 %}{{ m() }}{% set v1 = 2 %}{{ m() }}", "{{ m() }}{% macro m() %}{% endmacro %}", "{% macro m(a, b) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=9) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{% endmacro %}{% call m() %}x{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% call s %}{% endcall %}", "{% macro m() %}{{ 'yes' if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro m() %}  {{ n }}\n{% endmacro %}[{{ m() | trim }}]", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('<') + '<' }}{{ m is callable }}", "{% macro m(*a) %}{% endmacro %}",
    "{% macro f(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(*[1, 2], **{'c': 3}) }}{{ f(*nums) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(**{'a': 1}, **{'b': 2}) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, a=2) }}", "{% macro f(a) %}{% endmacro %}{{ f(**missing) }}", "{{ dict(a=1, 2) }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% filter upper %}{% set w1 = 1 %}{% endfilter %}{{ w1 }}",
    "{% if missing %}a{% elif n > 5 %}b{% else %}c{% endif %}", "{% if z is none and n %}a{% endif %}", "{% if false %}{{ s | nope }}{% endif %}ok", "{% if true %}{{ s | nope }}{% endif %}", "{{ s if true else s | nope }}", "{% if false %}{{ s is nope }}{% endif %}ok", "{% if false %}{% for x in nums %}{{ x | nope }}{% endfor %}{% endif %}", "{% if %}{% endif %}", "{% if t %}{% else %}{% elif t %}{% endif %}", "{% if t: %}a{% endif %}", "{% if n, %}a{% endif %}",
    "  {% if t %}\n  a\n  {% endif %}\nb", "a  {%- if t -%}  b  {%- endif -%}  c", "a\n  {%+ if t %}\nb{% endif +%}\nc", "a {# c #} b\n{# d #}\ne", "  {# x #}  y", "{#- a -#}  b", "{{ n -}}  x  {{- n }}", "  {{ n }}  ", "\n\n{{ n }}\n", "{{ n }}\n\n", "a\r\nb\rc\n", "{% raw %}{{ x }}{% if %}{% endraw %}", "a {%- raw -%}  {{ x }}  {%- endraw -%} b", "{% raw %}\nx\n{% endraw %}\ny", "{% raw %}", "{# open", "{{ n", "{% if t", "{{ }}", "{% %}", "{{ n }} }} %}", "{ {n} }", "{{ '}}' }}{{ \"%}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {} }}{{ {}.x is defined }}", "{{ n)}}", "{{ (n] }}",
    "{% generation %}a{{ n }}{% endgeneration %}b", "{% generation %}{% set g1 = 1 %}{% endgeneration %}{{ g1 }}", "{% for x in nums %}{% generation %}{{ x }}{% endgeneration %}{% endfor %}",
    "{% print n, s %}", "{% nope %}", "{% do n %}", "{% endif %}", "{{ raise_exception('bad ' ~ n) }}", "{% if missing_tool is not defined %}{{ raise_exception('x') }}{% endif %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}", "{% set j = joiner() %}{% for x in nums %}{{ j() }}{{ x }}{% endfor %}", "{{ cycler() }}",
    "{% set x = nums | map('abs') %}{{ x | list }}{{ x | list }}", "{% set r = nums | reverse %}{{ r | list }}{{ r | list }}", "{% set g = s | select %}{{ g is string }}{{ g | first }}{{ g | join }}",
    "{% for p in people | groupby('age') %}{{ p.grouper }}:{{ p.list | map(attribute='name') | join(',') }};{% endfor %}", "{% for age, group in people | groupby('age') %}{{ age }}={{ group | length }};{% endfor %}",
    "{%- for m in people %}\n    {%- if not loop.first %}, {% endif %}\n    {{- m.name }}\n{%- endfor %}\n", "{% for m in people %}\n{{ m.name }}\n{% endfor %}\n", "{% set x = [1] %}{% set x = x + [2] %}{{ x }}", "{% set x = d %}{{ x.items() | list | length }}",
    "{{ 'a' if n is defined and n is not none else 'b' }}{{ (people | first).name }}{{ people | map(attribute='name') | map('lower') | join(' ') }}", "{{ loop.index if loop is defined else 'no' }}", "{{ self is defined }}" if False else "{{ 1 }}",
    "{{ n;}}", "{% if n == 7 and (s == 'x' or t) and not z %}ok{% endif %}", "{{ 'x' * 3 ~ '-' ~ 2 * 3 }}", "{% set messages = people[1:] %}{% for m in messages %}{{ m.name }}{% endfor %}", "{{ n.__class__ }}{{ n._x is defined }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
]


def case(template):
    line = {"template": template, "context": {}}
    try:
        line["ok"] = ENV.from_string(template).render(**CONTEXT)
        line["ok"].encode()
        if " at 0x" in line["ok"]:
            return None  # prints an address: not a fact to hold anyone to
    except Exception as error:
        line.pop("ok", None)
        line["error"] = f"{type(error).__name__}: {error}"[:200]
    return line


def main():
    print(json.dumps({"context": CONTEXT}, ensure_ascii=False))
    expressions = [e for e in EXPRESSIONS.replace("\\\nb", "\0").split("\n") if e.strip()]
    templates = ["{{ " + e.replace("\0", "\\\nb") + " }}" for e in expressions] + TEMPLATES
    for template in templates:
        line = case(template)
        if line is not None:
            del line["context"]
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
