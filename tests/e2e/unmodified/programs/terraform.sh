# Has Terraform's AWS provider list objects: terraform.sh PLUGINS BUCKET PREFIX
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$(dirname "$0")/main.tf" "$folder/"
terraform -chdir="$folder" init -input=false -no-color -plugin-dir="$1" >/dev/null
terraform -chdir="$folder" apply -auto-approve -input=false -no-color -var bucket="$2" -var prefix="$3"
