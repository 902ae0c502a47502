/// The messages are pinned in `tests/ui/*.stderr`; `TRYBUILD=overwrite` writes them anew.
#[test]
fn a_mistake_in_an_attribute_does_not_compile_and_says_where_it_is() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
