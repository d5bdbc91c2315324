terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  s3_use_path_style = true
}

variable "bucket" {
  type = string
}

variable "prefix" {
  type = string
}

data "aws_s3_objects" "listed" {
  bucket = var.bucket
  prefix = var.prefix
}

output "keys" {
  value = data.aws_s3_objects.listed.keys
}
