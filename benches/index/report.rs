//! What was measured, side by side.

use crate::measure::Curve;

/// Prints what each index came to on a set, beside hnswlib's where that was measured.
pub(crate) fn print(set: &str, curves: &[Curve]) {
    println!("\n{set}\n{:<22} {:>17} {:>17} {:>19} {:>9}", "", "µs at 0.95", "µs at 0.99", "build, CPU s", "memory");
    let peer = curves.iter().find(|curve| curve.name == "hnswlib");
    for curve in curves {
        let at = |recall: f64| beside(curve.at(recall), peer.and_then(|peer| peer.at(recall)));
        let build = beside(Some(curve.build_cpu_seconds), peer.map(|peer| peer.build_cpu_seconds));
        let memory = curve.memory.map_or(String::new(), |share| format!("{share:.2} x"));
        println!("{:<22} {:>17} {:>17} {build:>19} {memory:>9}", curve.name, at(0.95), at(0.99));
    }
}

/// A figure, and in how many times the peer's it is.
fn beside(figure: Option<f64>, peer: Option<f64>) -> String {
    match (figure, peer) {
        (Some(figure), Some(peer)) => format!("{figure:.1} ({:.2} x)", figure / peer),
        (Some(figure), None) => format!("{figure:.1}"),
        (None, _) => "not reached".to_owned(),
    }
}
