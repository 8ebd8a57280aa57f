//! The smallest program that can be PID 1: says hello and ends, which stops the machine. What any system of ours costs at
//! boot is measured against it.

fn main() {
    println!("hello");
}
