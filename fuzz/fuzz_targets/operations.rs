#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bifold_fuzz_kit::count((bifold_fuzz::operations::TARGET.run)(data));
});
