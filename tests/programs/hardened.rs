//! A Rust program on a hardened bifold that frees a block as one of another size.

use std::alloc::{Layout, alloc, dealloc};

use bifold::{Bifold, Heap};

#[global_allocator]
static ALLOCATOR: Bifold = Bifold::new();

fn layout(size: usize, alignment: usize) -> Layout {
    Layout::from_size_align(size, alignment).expect("small")
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().expect("DOOR SIZE ALIGNMENT OTHER");
    let door = word();
    let [size, alignment, other] = [(); 3].map(|()| word().parse().expect("a number"));
    let (right, wrong) = (layout(size, alignment), layout(other, alignment));
    let heap = Heap::new().expect("there is memory");
    // SAFETY: there is none, on purpose, unless the sizes are the same.
    unsafe {
        match door.as_str() {
            "dealloc" => {
                let block = alloc(right);
                println!("{block:p}");
                dealloc(block, wrong);
            }
            "deallocate" => {
                let block = heap.allocate(right).expect("there is memory");
                println!("{block:p}");
                heap.deallocate(block, wrong);
            }
            _ => panic!("no door {door}"),
        }
    }
}
