"""Every message that reports say, read from the code and the templates themselves."""

import ast
import re
from pathlib import Path

from jinja2 import nodes

from reports import render

REPORTS = Path(__file__).parents[1] / "reports"
TEMPLATES = ("base.html", "weekly.html", "weekly.txt", "alert.html", "alert.txt")
"""Those that are said in every language; a template outside this list stays English."""
PARTS = ("budgets.html", "budgets.txt")
"""Of these only what is wrapped: the closing report uses their other macros."""


def of_code():
    """(messages, plural messages, what could not be read) of all modules."""
    found, many, unread = set(), set(), set()
    for path in sorted(REPORTS.rglob("*.py")):
        module = ast.parse(path.read_text())
        tables = dict(_tables(module))
        for scope in _scopes(module):
            texts = dict(_texts(scope))
            for call in _calls(scope):
                kind, args = call.func.id, call.args
                if kind == "plural":
                    many |= {f"{{n}} {each}" for each in _strings(args[1], texts, tables)}
                elif kind == "say_n":
                    many |= _strings(args[1], texts, tables)
                else:
                    told = _strings(args[0], texts, tables)
                    found |= told
                    if not told:
                        unread.add(f"{path.name}: {ast.unparse(args[0])}")
    return found, many, unread


def _scopes(module):
    """Functions that hold no other function, and what stands outside of all."""
    return [each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)]


def _calls(scope):
    return [
        each
        for each in ast.walk(scope)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id in ("say", "say_n", "plural")
        and each.args
    ]


def _texts(scope):
    """Name -> the strings that a function gives it."""
    texts = {}
    for each in ast.walk(scope):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            texts.setdefault(each.targets[0].id, set()).update(_written(each.value))
    return texts


def _written(value):
    """The strings that a value is: one, either of two, or those of a table."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value}
    if isinstance(value, ast.IfExp):
        return _written(value.body) | _written(value.orelse)
    if isinstance(value, ast.Dict):
        return set().union(*(_written(each) for each in value.values))
    return set()


def _tables(module):
    """Name of the module -> every string in it."""
    for each in module.body:
        target = each.targets[0] if isinstance(each, ast.Assign) else getattr(each, "target", None)
        if isinstance(target, ast.Name) and getattr(each, "value", None):
            value = each.value
            parts = value.values if isinstance(value, ast.Dict) else [value]
            yield (
                target.id,
                {
                    n.value
                    for part in parts
                    for n in ast.walk(part)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str)
                },
            )


def _strings(node, texts, tables):
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.Name):
        return texts.get(node.id) or tables.get(node.id) or set()
    if isinstance(node, ast.IfExp):
        return _strings(node.body, texts, tables) | _strings(node.orelse, texts, tables)
    if isinstance(node, ast.Subscript):
        return _strings(node.value, texts, tables)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        default = _strings(node.args[1], texts, tables) if len(node.args) > 1 else set()
        return _strings(node.func.value, texts, tables) | default
    return set()


def of_templates():
    """The messages of the templates."""
    found = set()
    for name in (*TEMPLATES, *PARTS):
        tree = render.environment().parse((REPORTS / "templates" / name).read_text())
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "say":
                found.add(call.args[0].value)
    return found


def bare():
    """Words of a template that stand there for all languages."""
    for name in TEMPLATES:
        tree = render.environment().parse((REPORTS / "templates" / name).read_text())
        text = "".join(
            data.data if isinstance(data, nodes.TemplateData) else "\0"
            for data in tree.find_all((nodes.TemplateData, nodes.Call))
        )
        shown = re.sub(r"<style>.*?</style>|<[^>]*>|&\w+;", " ", text, flags=re.DOTALL)
        yield from re.findall(r"[A-Za-z]{2,}", shown)
