//! Declares for Zig what coinslot.h declares for C: a plugin has it as `@import("coinslot")`. Each function is described there.

pub const coinslot_request = opaque {};
pub const coinslot_json = opaque {};
pub const coinslot_bucket = opaque {};

pub const coinslot_function = fn (request: *coinslot_request) callconv(.c) void;

pub const coinslot_endpoint = extern struct {
    method: ?[*:0]const u8 = null,
    path: ?[*:0]const u8 = null,
    price: ?[*:0]const u8 = null,
    summary: ?[*:0]const u8 = null,
    handler: ?*const coinslot_function = null,
    description: ?[*:0]const u8 = null,
    mime_type: ?[*:0]const u8 = null,
    parameters: ?[*:0]const u8 = null,
    query: ?[*:0]const u8 = null,
    body: ?[*:0]const u8 = null,
    body_is_optional: bool = false,
    returns: ?[*:0]const u8 = null,
    quote_headers: ?[*:0]const u8 = null,
    upfront: bool = false,
    pass_seconds: c_uint = 0,
    pass_requests: c_uint = 0,
    quote: ?*const coinslot_function = null,
};

pub const coinslot_receipt = extern struct {
    payer: [*:0]const u8,
    amount: [*:0]const u8,
    asset: [*:0]const u8,
    network: [*:0]const u8,
    payment_id: [*:0]const u8,
};

pub const coinslot_response = extern struct {
    status: c_int,
    body: [*:0]const u8,
    size: usize,
    headers: *const anyopaque,
};

pub const coinslot_json_type = enum(c_int) { absent, null, bool, number, string, array, object };

pub extern fn coinslot_name(name: ?[*:0]const u8, version: ?[*:0]const u8) void;
pub extern fn coinslot_get(path: ?[*:0]const u8, price: ?[*:0]const u8, summary: ?[*:0]const u8, handler: *const coinslot_function) *coinslot_endpoint;
pub extern fn coinslot_post(path: ?[*:0]const u8, price: ?[*:0]const u8, summary: ?[*:0]const u8, handler: *const coinslot_function) *coinslot_endpoint;
pub extern fn coinslot_put(path: ?[*:0]const u8, price: ?[*:0]const u8, summary: ?[*:0]const u8, handler: *const coinslot_function) *coinslot_endpoint;
pub extern fn coinslot_patch(path: ?[*:0]const u8, price: ?[*:0]const u8, summary: ?[*:0]const u8, handler: *const coinslot_function) *coinslot_endpoint;
pub extern fn coinslot_delete(path: ?[*:0]const u8, price: ?[*:0]const u8, summary: ?[*:0]const u8, handler: *const coinslot_function) *coinslot_endpoint;
pub extern fn coinslot_declared_at(endpoint: *coinslot_endpoint, file: ?[*:0]const u8, line: c_int) *coinslot_endpoint;
pub extern fn coinslot_quote(endpoint: *coinslot_endpoint, function: *const coinslot_function) void;
pub extern fn coinslot_method(request: *const coinslot_request) [*:0]const u8;
pub extern fn coinslot_path(request: *const coinslot_request) [*:0]const u8;
pub extern fn coinslot_param(request: *const coinslot_request, name: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_query(request: *const coinslot_request, name: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_query_at(request: *const coinslot_request, name: ?[*:0]const u8, index: usize) ?[*:0]const u8;
pub extern fn coinslot_raw_query(request: *const coinslot_request) ?[*:0]const u8;
pub extern fn coinslot_header(request: *const coinslot_request, name: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_body(request: *coinslot_request, size: ?*usize) [*:0]const u8;
pub extern fn coinslot_read(request: *coinslot_request, size: ?*usize) ?[*:0]const u8;
pub extern fn coinslot_payment() ?*const coinslot_receipt;
pub extern fn coinslot_charge(amount: ?[*:0]const u8) bool;
pub extern fn coinslot_parse_integer(text: ?[*:0]const u8, value: *i64) bool;
pub extern fn coinslot_parse_number(text: ?[*:0]const u8, value: *f64) bool;
pub extern fn coinslot_status(request: *coinslot_request, status: c_int) void;
pub extern fn coinslot_set_header(request: *coinslot_request, name: ?[*:0]const u8, value: ?[*:0]const u8) void;
pub extern fn coinslot_print(request: *coinslot_request, format: ?[*:0]const u8, ...) void;
pub extern fn coinslot_text(request: *coinslot_request, text: ?[*:0]const u8) void;
pub extern fn coinslot_write(request: *coinslot_request, data: ?*const anyopaque, size: usize) void;
pub extern fn coinslot_flush(request: *coinslot_request) bool;
pub extern fn coinslot_event(request: *coinslot_request, name: ?[*:0]const u8, data: ?[*:0]const u8) bool;
pub extern fn coinslot_refuse(request: *coinslot_request, status: c_int, code: ?[*:0]const u8, message: ?[*:0]const u8) void;
pub extern fn coinslot_refuse_at(request: *coinslot_request, status: c_int, code: ?[*:0]const u8, message: ?[*:0]const u8, pointer: ?[*:0]const u8, rule: ?[*:0]const u8) void;
pub extern fn coinslot_set_price(request: *coinslot_request, price: ?[*:0]const u8) void;
pub extern fn coinslot_begin_object(request: *coinslot_request, name: ?[*:0]const u8) void;
pub extern fn coinslot_begin_array(request: *coinslot_request, name: ?[*:0]const u8) void;
pub extern fn coinslot_end(request: *coinslot_request) void;
pub extern fn coinslot_put_string(request: *coinslot_request, name: ?[*:0]const u8, value: ?[*:0]const u8) void;
pub extern fn coinslot_put_integer(request: *coinslot_request, name: ?[*:0]const u8, value: i64) void;
pub extern fn coinslot_put_number(request: *coinslot_request, name: ?[*:0]const u8, value: f64) void;
pub extern fn coinslot_put_bool(request: *coinslot_request, name: ?[*:0]const u8, value: bool) void;
pub extern fn coinslot_put_null(request: *coinslot_request, name: ?[*:0]const u8) void;
pub extern fn coinslot_put_json(request: *coinslot_request, name: ?[*:0]const u8, json: ?[*:0]const u8) void;
pub extern fn coinslot_json_body(request: *coinslot_request) ?*const coinslot_json;
pub extern fn coinslot_json_parse(text: ?[*:0]const u8, size: usize) ?*const coinslot_json;
pub extern fn coinslot_json_at(json: ?*const coinslot_json, pointer: ?[*:0]const u8) ?*const coinslot_json;
pub extern fn coinslot_json_type_of(json: ?*const coinslot_json) coinslot_json_type;
pub extern fn coinslot_json_string(json: ?*const coinslot_json, pointer: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_json_integer(json: ?*const coinslot_json, pointer: ?[*:0]const u8, otherwise: i64) i64;
pub extern fn coinslot_json_number(json: ?*const coinslot_json, pointer: ?[*:0]const u8, otherwise: f64) f64;
pub extern fn coinslot_json_bool(json: ?*const coinslot_json, pointer: ?[*:0]const u8, otherwise: bool) bool;
pub extern fn coinslot_json_first(json: ?*const coinslot_json) ?*const coinslot_json;
pub extern fn coinslot_json_next(element: ?*const coinslot_json) ?*const coinslot_json;
pub extern fn coinslot_json_name(member: ?*const coinslot_json) ?[*:0]const u8;
pub extern fn coinslot_json_text(json: ?*const coinslot_json) ?[*:0]const u8;
pub extern fn coinslot_field(name: ?[*:0]const u8, value: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_fetch(method: ?[*:0]const u8, url: ?[*:0]const u8, headers: ?[*:0]const u8, body: ?*const anyopaque, size: usize) ?*const coinslot_response;
pub extern fn coinslot_response_header(response: *const coinslot_response, name: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_config(key: ?[*:0]const u8) ?[*:0]const u8;
pub extern fn coinslot_log_info(format: ?[*:0]const u8, ...) void;
pub extern fn coinslot_log_warn(format: ?[*:0]const u8, ...) void;
pub extern fn coinslot_log_error(format: ?[*:0]const u8, ...) void;
pub extern fn coinslot_bucket_open(name: ?[*:0]const u8) ?*coinslot_bucket;
pub extern fn coinslot_kv_get(bucket: ?*coinslot_bucket, key: ?[*:0]const u8, size: ?*usize) ?[*:0]const u8;
pub extern fn coinslot_kv_set(bucket: ?*coinslot_bucket, key: ?[*:0]const u8, value: ?*const anyopaque, size: usize) bool;
pub extern fn coinslot_kv_delete(bucket: ?*coinslot_bucket, key: ?[*:0]const u8) bool;
pub extern fn coinslot_kv_increment(bucket: ?*coinslot_bucket, key: ?[*:0]const u8, delta: u64) u64;
pub extern fn coinslot_kv_swap(bucket: ?*coinslot_bucket, key: ?[*:0]const u8, expected: ?*const anyopaque, expected_size: usize, value: ?*const anyopaque, size: usize) bool;
pub extern fn coinslot_kv_keys(bucket: ?*coinslot_bucket, cursor: *u64, count: ?*usize) ?[*]const [*:0]const u8;
pub extern fn coinslot_error() ?[*:0]const u8;
pub extern fn coinslot_alloc(size: usize) ?*anyopaque;
pub extern fn coinslot_format(format: ?[*:0]const u8, ...) [*:0]const u8;
