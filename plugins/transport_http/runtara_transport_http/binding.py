"""How an operation becomes a request of HTTP and back, from the table alone; client and server share it.

The template of `Operation.http` names the method and the path. A field in braces is one segment of the path,
percent-encoded once, so it may hold any text but none. The other fields are the query (GET, DELETE, and uploads, whose body
is the stream) or a JSON object in the body (POST). In a query a list, an object or an arbitrary value is JSON text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

import msgspec
from msgspec import UNSET, inspect, structs

from runtara_framework.errors import InvalidRequest
from runtara_framework.protocol.invalid import MALFORMED, integer_fields, invalid_request, refuse_wide, unsendable
from runtara_framework.protocol.operations import Operation

TENANT = "tenant_id"
TENANT_HEADER = "X-Runtara-Tenant-Id"
STREAM = "binary"  # the name of the file in a form

_BRACES = re.compile(r"\{(\w+)\}")
_AS_JSON = (inspect.DictType, inspect.ListType, inspect.AnyType, inspect.StructType)
_encoder = msgspec.json.Encoder()

Req = TypeVar("Req")
Res = TypeVar("Res")


class Binding(Generic[Req, Res]):
    """One operation on HTTP. Make one an operation, not one a call."""

    def __init__(self, operation: Operation[Req, Res]) -> None:
        self.operation = operation
        self.method, self.template = operation.http.split()
        self.in_query = self.method in ("GET", "DELETE") or operation.upload
        self.path_fields: tuple[str, ...] = tuple(_BRACES.findall(self.template))
        known = structs.fields(cast(type[msgspec.Struct], operation.request))
        fields = [field for field in known if field.name not in self.path_fields]
        self._names = tuple(field.name for field in fields)
        self._integers = integer_fields(operation.request)
        self._defaults_tenant = TENANT in self._names
        self.rest: type[msgspec.Struct] = msgspec.defstruct(
            f"{operation.request.__name__}Fields",
            [_specification(field) for field in fields],
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
            omit_defaults=True,
        )
        self._json_names = frozenset(field.name for field in fields if _is_json(inspect.type_info(field.type)))
        self._body_decoder = msgspec.json.Decoder(self.rest)
        self.answer_decoder: msgspec.json.Decoder[Res] = msgspec.json.Decoder(operation.response)

    # -- the server's side ----------------------------------------------------------------------------------

    def from_body(self, segments: Sequence[str], body: bytes, tenant_id: str | None) -> Req:
        """The request of raw path segments and a JSON body; an empty body is an empty object."""
        try:
            rest = self._body_decoder.decode(body or b"{}")
        except MALFORMED as error:
            raise self._invalid(error) from error
        return self._request(segments, rest, tenant_id)

    def from_text(self, segments: Sequence[str], pairs: Iterable[tuple[str, str]], tenant_id: str | None) -> Req:
        """The request of raw path segments and named texts, from a query or a form."""
        values: dict[str, Any] = {}
        for name, text in pairs:
            if name in values:
                raise self._bad(name, "is given more than once")
            values[name] = self._parsed(name, text)
        try:
            rest = msgspec.convert(values, self.rest, strict=False)
        except MALFORMED as error:
            raise self._invalid(error) from error
        return self._request(segments, rest, tenant_id)

    def _parsed(self, name: str, text: str) -> Any:
        if name not in self._json_names:
            return text
        try:
            return msgspec.json.decode(text)
        except MALFORMED as error:
            raise self._bad(name, f"is no JSON: {error}") from error

    def _request(self, segments: Sequence[str], rest: msgspec.Struct, tenant_id: str | None) -> Req:
        values = {name: getattr(rest, name) for name in self._names}
        if self._defaults_tenant and values[TENANT] in (UNSET, None):
            if tenant_id is not None:
                values[TENANT] = tenant_id
            elif values[TENANT] is UNSET:
                raise self._bad(TENANT, f"is missing; give it or the header {TENANT_HEADER}")
        for name, segment in zip(self.path_fields, segments, strict=True):
            try:
                values[name] = unquote_to_bytes(segment).decode() if "%" in segment else segment
            except UnicodeDecodeError as error:
                raise self._bad(name, "in the path is not UTF-8") from error
        request = self.operation.request(**values)
        refuse_wide(self.operation, request, self._integers)
        return request

    def _bad(self, name: str, what: str) -> InvalidRequest:
        return InvalidRequest(
            f"{self.operation.name}: field `{name}` {what}", operation=self.operation.name, field=name
        )

    def _invalid(self, error: Exception) -> InvalidRequest:
        refused = invalid_request(self.operation, error)
        name = refused.details.get("field")
        return self._bad(name, "comes from the path, not from here") if name in self.path_fields else refused

    # -- the client's side ----------------------------------------------------------------------------------

    def target_and_body(self, request: Req) -> tuple[str, bytes]:
        """The request target and the JSON body (empty where the fields are the query). Raises `InvalidRequest`."""
        try:
            return self._written(request)
        except (TypeError, *MALFORMED) as error:
            raise unsendable(request, error) from error

    def _written(self, request: Req) -> tuple[str, bytes]:
        target = self.template
        if self.path_fields:
            target = _BRACES.sub(lambda found: self._segment(found[1], getattr(request, found[1])), target)
        rest = self.rest(**{name: getattr(request, name) for name in self._names})
        if not self.in_query:
            return target, _encoder.encode(rest)
        if not (values := msgspec.to_builtins(rest)):
            return target, b""
        return f"{target}?{urlencode([(name, self._text(name, value)) for name, value in values.items()])}", b""

    def _segment(self, name: str, value: Any) -> str:
        if not value:
            raise self._bad(name, "is empty, but it is a part of the path")
        return quote(str(value), safe="")

    def _text(self, name: str, value: Any) -> str:
        if name in self._json_names:
            return _encoder.encode(value).decode()
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)


def query_pairs(query: bytes) -> list[tuple[str, str]]:
    """The names and texts of a query string, in order. Raises `InvalidRequest` if it is not UTF-8."""
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidRequest(f"the query string is malformed: {error}") from error


def _is_json(info: inspect.Type) -> bool:
    parts = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(part, _AS_JSON) for part in parts)


def _specification(field: structs.FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.default is not msgspec.NODEFAULT:
        return field.name, field.type, field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    if field.name == TENANT:  # a header may give it
        return field.name, field.type | msgspec.UnsetType, UNSET
    return field.name, field.type
