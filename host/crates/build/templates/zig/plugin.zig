const std = @import("std");
const c = @import("coinslot");

const text_schema =
    \\{
    \\  "type": "object",
    \\  "properties": { "text": { "type": "string", "minLength": 1, "maxLength": 10000 } },
    \\  "required": ["text"]
    \\}
;

const count_schema =
    \\{
    \\  "type": "object",
    \\  "properties": { "words": { "type": "integer" }, "longest": { "type": "string" } },
    \\  "required": ["words", "longest"]
    \\}
;

fn describe(request: *c.coinslot_request) callconv(.c) void {
    c.coinslot_text(request, "POST a text to /{{name}}/count\n");
}

fn count(request: *c.coinslot_request) callconv(.c) void {
    const text = c.coinslot_json_string(c.coinslot_json_body(request), "/text") orelse "";
    var words = std.mem.tokenizeAny(u8, std.mem.span(text), " \t\r\n");
    var number: i64 = 0;
    var longest: []const u8 = "";
    while (words.next()) |word| : (number += 1) {
        if (word.len > longest.len) longest = word;
    }
    if (number == 0) return c.coinslot_refuse(request, 400, "no_words", "Send a text with at least one word.");
    c.coinslot_put_integer(request, "words", number);
    c.coinslot_put_string(request, "longest", c.coinslot_format("%.*s", @as(c_int, @intCast(longest.len)), longest.ptr));
}

export fn coinslot_plugin() void {
    _ = c.coinslot_get("/{{name}}", "free", "Says what is sold here", describe);
    const endpoint = c.coinslot_post("/{{name}}/count", "0.001", "Counts the words of a text", count);
    endpoint.body = text_schema;
    endpoint.returns = count_schema;
}
