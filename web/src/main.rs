mod scene;

fn main() {}
