//! Labels carried along the estimated flow are nearer to the truth than labels left where they were.

mod support;

use segfuse::data::{ClassTable, Image, PixelFormat, Size, UNLABELED};
use segfuse::flow::{DenseFlow, FlowField, GreyPyramid};
use std::path::{Path, PathBuf};

/// A frame of the sequence and the true label of each of its pixels.
struct Truth {
    pyramid: GreyPyramid,
    labels: Vec<u8>,
    size: Size,
}

#[test]
fn labels_carried_by_the_flow_beat_labels_left_in_place() {
    let Some(data) = support::shared_data("labels_carried_by_the_flow_beat_labels_left_in_place") else { return };
    let frames = read_sequence(&data.join("camvid/sequence_15hz"));
    assert!(frames.len() > 20, "{} frames", frames.len());
    for (distance, gain) in [(1, 0.05), (5, 0.10)] {
        let (copied, carried) = compare(&frames, distance);
        println!("true labels {distance} frames later: mIoU copied {copied:.4}, carried by the flow {carried:.4}");
        assert!(carried > copied + gain, "distance {distance}: copied {copied}, carried {carried}");
    }
}

fn compare(frames: &[Truth], distance: usize) -> (f64, f64) {
    let mut estimator = DenseFlow::new();
    let (mut copied, mut carried) = (vec![0_u64; 256 * 256], vec![0_u64; 256 * 256]);
    for (earlier, current) in frames.iter().zip(&frames[distance..]) {
        let (rows, cols) = (current.size.height as usize, current.size.width as usize);
        let flow = estimator.estimate(&earlier.pyramid, &current.pyramid, rows, cols);
        count(&mut copied, &earlier.labels, &current.labels);
        count(&mut carried, &carry(&earlier.labels, &flow), &current.labels);
    }
    (mean_iou(&copied), mean_iou(&carried))
}

fn carry(labels: &[u8], flow: &FlowField) -> Vec<u8> {
    let fetch = |cell: usize| {
        let (row, col) = (cell / flow.cols, cell % flow.cols);
        let [x, y] = flow.at(row, col);
        let x = (col as f32 + x).round().clamp(0.0, flow.cols as f32 - 1.0) as usize;
        let y = (row as f32 + y).round().clamp(0.0, flow.rows as f32 - 1.0) as usize;
        labels[y * flow.cols + x]
    };
    (0..labels.len()).map(fetch).collect()
}

fn count(confusion: &mut [u64], found: &[u8], truth: &[u8]) {
    for (&found, &truth) in found.iter().zip(truth) {
        confusion[usize::from(truth) * 256 + usize::from(found)] += 1;
    }
}

fn mean_iou(confusion: &[u64]) -> f64 {
    let unlabeled = usize::from(UNLABELED);
    let classes = ClassTable::camvid().classes().len();
    let iou = |class: usize| {
        let hits = confusion[class * 256 + class];
        let truth: u64 = (0..256).map(|found| confusion[class * 256 + found]).sum();
        let found: u64 = (0..256).filter(|&truth| truth != unlabeled).map(|truth| confusion[truth * 256 + class]).sum();
        (truth > 0).then(|| hits as f64 / (truth + found - hits) as f64)
    };
    let ious: Vec<f64> = (0..classes).filter_map(iou).collect();
    ious.iter().sum::<f64>() / ious.len() as f64
}

fn read_sequence(folder: &Path) -> Vec<Truth> {
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(folder.join("image"))
        .expect("the sequence has a folder image")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    pictures.sort();
    pictures.iter().map(|picture| read_frame(picture, &folder.join("label"))).collect()
}

fn read_frame(picture: &Path, labels: &Path) -> Truth {
    let rgb = image::open(picture).expect("a readable PNG").into_rgb8();
    let size = Size::new(rgb.width(), rgb.height());
    let image = Image::packed(PixelFormat::Rgb8, size, rgb.into_raw().into()).expect("as many bytes as pixels");
    let names = labels.join(picture.file_name().expect("a file has a name"));
    let identity = ClassTable::camvid().identity();
    let labels = image::open(names).expect("a label for every picture").into_luma8().into_raw();
    let labels = labels.into_iter().map(|label| identity.map(label)).collect();
    Truth { pyramid: GreyPyramid::build(&image).expect("not a JPEG"), labels, size }
}
